"""Everything hostile that the project has: the doctor names each by its code, goes on, and runs none of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.broken_folders import BROKEN
from fixtures.hostile import HOSTILE, Case
from fixtures.hostile_archives import HOSTILE_ARCHIVES
from fixtures.hostile_gguf import HOSTILE_GGUF
from fixtures.hostile_pickles import CANARY, HOSTILE_PICKLES
from fixtures.small_checkpoint import CONFIG, FIRST, INDEX, SECOND, sound
from tests.tracer.doctor.told import Told, write_json
from tracer.checks import findings
from tracer.cli import main
from tracer.errors import InputError

FILES: dict[str, dict[str, Case]] = {
    "model.safetensors": HOSTILE, "pytorch_model.bin": HOSTILE_PICKLES | HOSTILE_ARCHIVES, "model.gguf": HOSTILE_GGUF,
}  # fmt: skip
NOTHING_THERE = {
    "missing_folder", "empty_folder", "only_other_files", "folder_is_a_link_to_nothing", "folder_is_a_pipe",
}  # fmt: skip
"""Broken folders in which there is nothing to examine."""


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, cases in FILES.items() for name in cases])
def test_a_hostile_file_is_an_error_with_its_code(
    file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case = FILES[file][name]
    case.write(tmp_path / file)
    told = Told(tmp_path / file)
    assert case.code in told.codes("error")
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_folder_is_told_with_its_code(name: str, tmp_path: Path) -> None:
    case = BROKEN[name]
    folder = tmp_path / "model"
    folder.mkdir()
    sound(folder)
    case.break_it(folder)
    if name in NOTHING_THERE:
        with pytest.raises(InputError) as refused:
            Told(folder)
        assert refused.value.code == case.code
        return
    told = Told(folder)
    if name == "unknown_architecture":  # which says nothing against the files
        assert (told.status, told.codes("error")) == (0, set())
        assert told["arch.unknown"].severity == "info"
        return
    assert told.status == 1
    assert case.code is None or case.code in told.codes("error")


def test_a_sound_folder_has_nothing_wrong(tmp_path: Path) -> None:
    sound(tmp_path)
    told = Told(tmp_path)
    assert told.codes("error", "warning") == set()
    assert {check.name for check in told.checks if check.state == "ok"} >= {"files", "index", "shards", "names"}


def test_all_damaged_files_are_told_and_the_rest_is_examined(tmp_path: Path) -> None:
    sound(tmp_path)
    HOSTILE["web_page"].write(tmp_path / FIRST)
    HOSTILE["lfs_pointer"].write(tmp_path / "config.json")
    (tmp_path / SECOND).write_bytes((tmp_path / SECOND).read_bytes()[:-10])
    told = Told(tmp_path)
    assert told.codes("error") == {"file.html", "file.lfs-pointer", "file.truncated"}


def test_what_is_left_is_compared_with_the_index(tmp_path: Path) -> None:
    sound(tmp_path)
    HOSTILE["empty"].write(tmp_path / FIRST)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["no.such.tensor"] = SECOND
    write_json(tmp_path / INDEX, index)
    told = Told(tmp_path)
    assert told.codes("error") == {"file.empty", "index.missing-tensor"}
    assert told["index.missing-tensor"].subject == "no.such.tensor"
    assert "damaged" in told.check("names").unchecked


def test_a_damaged_file_of_a_numbered_series_is_not_missing_as_well(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / INDEX).unlink()
    HOSTILE["empty"].write(tmp_path / FIRST)
    assert Told(tmp_path).codes("error") == {"file.empty"}


def test_a_damaged_copy_that_is_not_read_is_a_warning(tmp_path: Path) -> None:
    sound(tmp_path)
    HOSTILE_ARCHIVES["a_single_tensor"].write(tmp_path / "pytorch_model.bin")
    told = Told(tmp_path)
    assert told.codes("error") == set()
    assert "not in the copy that is read" in told["file.wrong-format"].message


def test_two_shards_of_one_digest_are_an_error(tmp_path: Path) -> None:
    sound(tmp_path)
    for file in (FIRST, SECOND):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d7a' * 16}\nsize 900\n"
        (tmp_path / file).write_text(pointer)
    assert f"{FIRST}, {SECOND} are the same file" in Told(tmp_path)["shards.duplicate-tensor"].message


def test_an_unfinished_download_is_told(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "model-00003-of-00003.safetensors.incomplete").write_bytes(b"\0" * 64)
    assert Told(tmp_path)["file.truncated"].severity == "warning"


def test_a_second_index_that_is_here_in_part_is_a_warning(tmp_path: Path) -> None:
    sound(tmp_path)
    homes = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    write_json(tmp_path / "pytorch_model.bin.index.json", {"weight_map": homes})
    assert "none of the 2 files" in Told(tmp_path).check("index").unchecked
    HOSTILE["lfs_pointer"].write(tmp_path / homes["a"])
    assert Told(tmp_path)["index.missing-file"].severity == "warning"


def test_the_command_tells_the_verdict_and_what_was_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    sound(folder)
    write_json(folder / "config.json", CONFIG | {"num_hidden_layers": 3})
    assert main(["doctor", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 error, ") or lines[0].startswith("2 errors")
    assert lines[1].startswith("ERROR  ")
    assert lines[-1].startswith("not checked: values (")


@given(damaged=st.sets(st.sampled_from([FIRST, SECOND, INDEX, "config.json"]), min_size=1), how=st.sampled_from(
    ["web_page", "error_message", "gguf", "zip_archive", "empty"]))  # fmt: skip
@settings(max_examples=25)
def test_whatever_is_damaged_is_told_and_nothing_else_is(
    damaged: set[str], how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    sound(folder)
    for file in damaged:
        HOSTILE[how].write(folder / file)
    told = Told(folder)
    assert told.status == 1
    errors = [finding for finding in findings(told.checks) if finding.severity == "error"]
    named = {name for finding in errors for name in (FIRST, SECOND, INDEX, "config.json") if name in finding.message}
    assert named == damaged
    fine = {check.name for check in told.checks if check.state == "ok"}
    assert fine.isdisjoint({"names", "shapes", "sizes"})
    assert not damaged & {FIRST, SECOND} or fine.isdisjoint({"files", "index", "shards"})


def test_nothing_to_examine_is_exit_status_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
