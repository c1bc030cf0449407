"""--html writes as --save and --json do: complete or not at all, never over an input; and costs nothing unasked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests import small_llama
from tests.tracer.printed import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return small_llama.write(tmp_path / "model")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "page.html"])
def test_nothing_is_written_into_the_checkpoint(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}
    status, _, err = run(capsys, folder, "--plan", "--html", folder / name)
    assert (status, err.count("\n")) == (2, 1)
    assert "never written to" in err
    assert {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()} == before


@pytest.mark.parametrize("other", ["--save", "--json"])
def test_two_outputs_of_one_name_are_refused(
    other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out"
    status, _, err = run(capsys, "--plan", other, file, "--html", f"{tmp_path}/./out")
    assert (status, err) == (2, f"trace-load: {other} {file} and --html {file}: both outputs have the same name\n")
    assert not file.exists()


@pytest.mark.parametrize(
    ("target", "says"), [("-", "expected the name of a file"), ("", "--html is empty"), (".", "it is no plain file"),
                         ("nowhere/page.html", "there is no folder nowhere")],
)  # fmt: skip
def test_what_cannot_be_written_is_said_before_anything_is_read(
    target: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "--plan", "--html", target)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_a_page_that_fails_half_way_leaves_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "page.html"
    assert run(capsys, "--plan", "--html", file)[0] == 0
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracer.outputs.os.replace", full)
    status, _, err = run(capsys, "--plan", "--tp", "2", "--html", file)
    assert (status, err) == (2, f"trace-load: cannot write {file}: No space left on device\n")
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_all_outputs_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"--save": tmp_path / "t.db", "--json": tmp_path / "t.jsonl", "--html": tmp_path / "t.html"}
    assert run(capsys, "--plan", *(each for pair in names.items() for each in pair))[0] == 0
    assert all(file.stat().st_size for file in names.values())


def test_no_template_engine_is_loaded_unless_a_page_is_wanted(tmp_path: Path) -> None:
    program = """
import sys
from tracer.cli import trace_load
for more in ([], ["--html", sys.argv[1]]):
    trace_load(["--plan", "--quiet", *more])
    print("jinja2" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "True"]
