"""`tracer diff` as a command: what it prints, writes and returns, and what damaged or strange input comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import header_set, small_checkpoint
from fixtures.hostile import HOSTILE
from tests import corpus, diffing
from tracer.cli import main
from tracer.diff.checkpoints import compare
from tracer.diff.sides import open_side
from tracer.errors import InputError
from tracer.values.scanning import scan
from tracer.values.stored import write_report

A = diffing.model()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model, its fine-tune, its renamed copy, and one with a NaN."""
    path = tmp_path_factory.mktemp("folders")
    broken = A["lm_head.weight"].copy()
    broken[0, 0] = np.nan
    made = {
        "a": A, "tuned": diffing.tuned(A, 1, diffing.is_linear), "nan": A | {"lm_head.weight": broken},
        "renamed": {f"module.{name}": array for name, array in A.items()},
    }  # fmt: skip
    return {name: diffing.write(path / name, arrays) for name, arrays in made.items()}


def diff(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    try:
        status = main(["diff", *map(str, argv)])
    except SystemExit as error:
        status = int(str(error.code))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_verdict_comes_first_and_what_was_not_checked_last(
    folders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, error = diff(capsys, folders["a"], folders["tuned"])
    lines = out.splitlines()
    assert (status, error) == (0, "")
    assert lines[0] == "the same names, shapes and dtypes: 39 tensors; values were not compared (--values)"
    assert lines[-1] == "not checked: values (--values was not given)"
    _, out, _ = diff(capsys, folders["a"], folders["tuned"], "--values")
    assert "  model.layers.{0..3}.mlp.down_proj.weight     x4  differs, relative 0.5 %" in out
    assert "not checked: rank of changes (14 of 28 matrices, of kinds whose first have no low rank; --all" in out
    _, out, _ = diff(capsys, folders["a"], folders["tuned"], "--values", "--all")
    assert "  model.layers.2.mlp.down_proj.weight     x1  differs" in out
    assert "rank of changes: 28 looked at" in out


def test_another_size_under_other_names_has_its_shapes_in_the_table(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The edit is said once, what differs besides on a line a kind; nothing is said to be on one side only."""
    small = {name: array[tuple(slice(0, n // 2) for n in array.shape)] for name, array in A.items()}
    status, out, error = diff(capsys, folders["renamed"], diffing.write(tmp_path / "small", small))
    lines = out.splitlines()
    assert (status, error) == (0, "")
    assert lines[0].startswith("the same names but for an edit: strip `module.` from 39 of 39 names of A; shapes ")
    kind = "is model.layers.{}.mlp.down_proj.weight, (64, 96) -> (32, 48)"
    assert [line.split(maxsplit=2) for line in lines if "down_proj" in line and "lay" in line.split()[0]] == [
        ["module.model.layers.{0..3}.mlp.down_proj.weight", "x4", kind]
    ]
    assert "names: 39 of 39 of A are 39 of B" in out
    assert "only in" not in out and "nothing in common" not in out


def test_to_differ_is_no_error_unless_asked(folders: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    a, tuned, renamed = folders["a"], folders["tuned"], folders["renamed"]
    assert diff(capsys, a, tuned, "--values")[0] == 0
    assert diff(capsys, a, tuned, "--values", "--exit-code")[0] == 1
    assert diff(capsys, a, a, "--values", "--exit-code")[0] == 0
    assert diff(capsys, a, renamed, "--exit-code")[0] == 1
    assert diff(capsys, a, tuned, "--exit-code")[0] == 0, "headers are the same, and values were not asked for"


def test_nan_on_one_side_only_is_an_error(folders: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = diff(capsys, folders["a"], folders["nan"], "--values")
    assert status == 1
    assert "ERROR  value.nonfinite  lm_head.weight: 1 NaN in B where A has numbers" in out
    assert diff(capsys, folders["nan"], folders["nan"], "--values")[0] == 0


def test_records_are_a_verdict_then_differences_then_checks(
    folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = diff(capsys, folders["a"], folders["tuned"], "--values", "--json", "-")
    found: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert found[0]["kind"] == "verdict"
    assert found[0]["tensors"]["differing"] == 28
    differences = [record for record in found if record["kind"] == "difference"]
    assert len(differences) == 28
    assert all(record["what"] == "value" and record["distance"]["relative"] < 0.006 for record in differences)
    assert {record["name"] for record in found if record["kind"] == "check"} >= {"names", "values", "config.json"}
    file = tmp_path / "records.jsonl"
    diff(capsys, folders["a"], folders["renamed"], "--json", file)
    found = [json.loads(line) for line in file.read_text().splitlines()]
    edits = [record for record in found if record.get("what") == "names"]
    assert [(record["edit"], record["mapped"]) for record in edits] == [("strip `module.`", 39)]
    assert [record["code"] for record in found if record["kind"] == "finding"] == ["name.rewrite"]


def test_results_are_never_written_into_a_checkpoint(
    folders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, error = diff(capsys, folders["a"], folders["a"], "--json", f"{folders['a']}/out.jsonl")
    assert status == 2
    assert "an input and never written to" in error


@pytest.mark.parametrize("name", HOSTILE)
def test_a_damaged_side_is_one_line(
    name: str, folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    HOSTILE[name].write(path)
    for pair in ((folders["a"], path), (path, folders["a"])):
        status, out, error = diff(capsys, *pair, "--values")
        assert (status, out) == (2, "")
        assert error.count("\n") == 1
        assert HOSTILE[name].code in error


def test_what_is_not_there_is_one_line(folders: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, error = diff(capsys, folders["a"], "/nowhere/at/all")
    assert (status, out) == (2, "")
    assert error == "tracer: /nowhere/at/all: no such file or folder\n"
    assert diff(capsys, folders["a"], "")[0] == 2


def test_a_missing_shard_is_an_error_of_its_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        small_checkpoint.sound(tmp_path / name)
    (tmp_path / "b" / small_checkpoint.SECOND).unlink()
    status, out, _ = diff(capsys, tmp_path / "a", tmp_path / "b", "--values")
    assert status == 1
    assert "ERROR  index.missing-file  B: " in out
    assert "the same checkpoint:" not in out
    assert "its file is not here" in out


def test_a_clone_without_its_files_is_compared_by_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slugs = "minicpm-v-2.6-renamed-qwen2", "scicore-omics-stale-total-size"
    paths = [corpus.materialise(slug, tmp_path / slug) for slug in slugs]
    status, out, _ = diff(capsys, *paths)
    assert status in (0, 1)
    assert "the same names but for an edit: strip `llm.` from 339 of 960 names of B" in out
    assert "same tensors" not in out, "neither values nor shapes were compared"
    assert "not checked: files of A (A: the files with 789 of 789 tensors are not here)" in out
    status, out, _ = diff(capsys, paths[0], paths[0])
    assert out.startswith("the same names: 789 tensors; values were not compared")


def test_headers_alone_need_no_numpy_and_little_time(tmp_path: Path) -> None:
    header_set.write(tmp_path, "deepseek-v3", 0.02, 4)
    program = (
        "import sys; from tracer.cli import main;"
        f"status = main(['diff', {str(tmp_path)!r}, {str(tmp_path)!r}, '--exit-code']);"
        "print([name for name in ('numpy', 'torch', 'ml_dtypes') if name in sys.modules], status)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[] 0"


def test_stored_scans_of_both_save_reading(folders: dict[str, str], tmp_path: Path) -> None:
    """Of what has equal digests not a byte is read; a scan of other files is refused."""
    reports = []
    for name in ("a", "tuned"):
        side = open_side(name, folders[name], True)
        reports.append(tmp_path / f"{name}.scan")
        write_report(reports[-1], side.checkpoint, scan(side.checkpoint))
    one, other = (open_side(letter, folders[name], True) for letter, name in (("A", "a"), ("B", "tuned")))
    found = compare(one, other, True, False, lambda done, total: None, (reports[0], reports[1]))
    by_digest = [pair for pair in found.compared if pair.valued and pair.valued.detail == "by digest"]
    assert len(by_digest) == 11
    assert {pair.subject for pair in by_digest} == {name for name in A if not diffing.is_linear(name)}
    assert len(found.valued("differs")) == 28
    with pytest.raises(InputError, match="no report of"):
        compare(one, other, True, False, lambda done, total: None, (reports[1], reports[0]))
