"""`tracer doctor` on the command line: what goes with what, what is written, and what it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.small_checkpoint import sound
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    sound(made)
    return made


@pytest.mark.parametrize(("options", "said"), [
    (["--dtype", "float16"], "--dtype: expected --values with it"),
    (["--save", "values.db"], "--save: expected --values with it"),
    (["--values", "--dtype", "complex64"], "complex64"),
    (["--json", ""], "--json is empty"),
    (["--revision", "main"], "--revision main: expected a repository on the Hub"),
])  # fmt: skip
def test_a_slip_is_one_line(
    options: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(folder), *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_nothing_is_written_into_a_checkpoint(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["doctor", str(folder), "--json", str(folder / "x.jsonl")]) == 2
    assert main(["doctor", str(folder), "--quiet"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_values_are_read_where_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(tmp_path / "config.json", {"architectures": ["StrangeModel"]})
    file = tmp_path / "model.safetensors"
    write_safetensors(file, {"a.weight": ("F32", (4, 4))}, {"a.weight": b"\x00\x00\xc0\x7f" * 16})
    assert main(["doctor", str(tmp_path)]) == 0
    assert "not checked: values (not asked for" in capsys.readouterr().out
    assert main(["doctor", str(tmp_path), "--values"]) == 1
    assert "ERROR  value.nonfinite" in capsys.readouterr().out


def test_the_records_have_findings_then_checks_then_pickles(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scheduler.pt").write_bytes(b"\x80\x02ccollections\nOrderedDict\n)R.")
    assert main(["doctor", str(folder), "--json", "-"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [record["kind"] for record in records]
    assert kinds == sorted(kinds, key=["finding", "check", "pickle"].index)
    assert records[-1]["globals"] == {"collections.OrderedDict": 1}
    values = next(record for record in records if record["kind"] == "check" and record["name"] == "values")
    assert (values["state"], bool(values["reason"])) == ("not-checked", True)
