"""Results never destroy anything, not the checkpoint, another file or a device; and what cannot be written is said."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import placements, several, vllm_traces
from tests.several import finish, start
from tracer import session
from tracer.cli import main, trace_load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    trace = vllm_traces.trace("LlamaForCausalLM", 1)
    numbered = placements.number({n: tuple(s) for n, s in trace["checkpoint"].items()})
    return placements.write_checkpoint(tmp_path / "model", trace["config"], numbered)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("option", ["--save", "--json"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "new.db"])
def test_nothing_is_written_into_the_checkpoint(
    folder: Path, option: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digests(folder)
    assert trace_load([str(folder), "--plan", option, str(folder / name)]) == 2
    assert "never written to" in capsys.readouterr().err
    assert digests(folder) == before


def test_a_single_file_is_not_overwritten_by_its_own_trace(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, file = digests(folder), folder / "model.safetensors"
    assert trace_load([str(file), "--plan", "--json", str(file)]) == 2
    assert digests(folder) == before


def test_a_store_replaces_a_store_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = tmp_path / "note.txt"
    note.write_text("precious")
    assert trace_load(["--plan", "--save", str(note)]) == 2
    assert note.read_text() == "precious"
    assert "no trace store" in capsys.readouterr().err
    saved = tmp_path / "t.db"
    assert trace_load(["--plan", "--save", str(saved)]) == 0
    assert trace_load(["--plan", "--save", str(saved)]) == 0


@pytest.mark.parametrize("target", ["folder", "pipe", "same"])
def test_what_is_no_plain_file_is_not_replaced(
    tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / target
    if target == "folder":
        path.mkdir()
    elif target == "pipe":
        os.mkfifo(path)
    both = ["--save", str(path)] if target == "same" else []
    assert trace_load(["--plan", *both, "--json", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert path.is_dir() == (target == "folder")


def test_an_audit_does_not_replace_the_trace_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "t.db"
    assert trace_load(["--plan", "--save", str(saved)]) == 0
    before = saved.read_bytes()
    assert main(["audit", str(saved), "--json", str(saved)]) == 2
    assert saved.read_bytes() == before


def test_names_that_mean_something_in_a_uri_are_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "what?#%41 now.db"
    assert trace_load(["--plan", "--save", str(saved)]) == 0
    assert main(["audit", str(saved)]) == 0


def test_a_temporary_folder_with_blanks_is_no_obstacle_to_real_processes(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a b\u00fc%20"
    odd.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "load", str(folder), "--device", "cpu", "--quiet"],
        env={**os.environ, "TMPDIR": str(odd)}, timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tracer", "load", "--plan"],
            stdout=full, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("spelled", ["t.db", "./t.db", "link"])
def test_two_outputs_of_one_name_are_refused(
    tmp_path: Path, spelled: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, written = tmp_path / "t.db", f"{tmp_path}/{spelled}"
    (tmp_path / "link").symlink_to("t.db")
    assert trace_load(["--plan", "--save", str(saved), "--json", written]) == 2
    assert capsys.readouterr().err == (
        f"trace-load: --save {saved} and --json {Path(written)}: both outputs have the same name\n"
    )
    assert not saved.exists()


def test_a_config_in_place_of_its_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_load([str(folder / "config.json"), "--plan"]) == 2
    said = "expected a safetensors file, found JSON; name the folder that it is in [file.wrong-format]"
    assert capsys.readouterr().err == f"trace-load: {folder}/config.json: {said}\n"


@pytest.mark.parametrize("option", ["--save", "--json"])
@pytest.mark.parametrize(("name", "said"), [
    ("no/such/t", "there is no folder"), ("folder", "it is no plain file"), ("locked/t", "is read-only"),
])  # fmt: skip
def test_where_nothing_can_be_written_is_said_before_the_work(
    tmp_path: Path, option: str, name: str, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir(0o500)
    # Whoever may do everything may also write there.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")
    monkeypatch.setattr(session, "run", pytest.fail)
    assert trace_load(["--plan", option, str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), said in err, str(tmp_path / name) in err) == (1, True, True)


def test_a_folder_that_refuses_new_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("this system has no /proc")
    for option in ("--save", "--json"):
        assert trace_load(["--plan", option, "/proc/t"]) == 2
        err = capsys.readouterr().err
        assert (err.count("\n"), "cannot write" in err, "/proc/t" in err) == (1, True, True)


ON_A_SMALL_DISK = """
import resource, sys
from tracer.cli import trace_load
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(trace_load(sys.argv[1:]))
"""


@pytest.mark.parametrize("option", ["--save", "--json"])
def test_a_disk_that_fills_up_is_one_line_and_what_was_there_stays(tmp_path: Path, option: str) -> None:
    target = tmp_path / "t"
    argv = ["--plan", "--tp", "2", option, str(target)]
    small = ["--hf-overrides", '{"num_hidden_layers": 1}'] if option == "--save" else []
    assert trace_load([*argv, *small, "--quiet"]) == 0
    before = target.read_bytes()
    ended = finish(start(["-c", ON_A_SMALL_DISK, *argv]))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert f"cannot write {target}: " in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert target.read_bytes() == before


@pytest.mark.parametrize("argv", [
    ["load", "--plan"], ["load", "--help"], ["mappings"], ["load", "--plan", "--json", "-"],
])  # fmt: skip
def test_a_full_output_is_one_line_and_exit_2(argv: list[str]) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tracer", *argv], cwd=several.ROOT, stdout=full, stderr=subprocess.PIPE,
            check=False, text=True, timeout=several.LIMIT,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "tracer: No space left on device: output\n")


@pytest.mark.parametrize("argv", [
    ["load", "--plan"], ["load", "--plan", "--json", "-"], ["load", "--plan", "--quiet"], ["mappings"],
    ["audit", "trace.db"], ["generate", "model", "--prompt-ids", "1"],
])  # fmt: skip
def test_an_output_that_is_closed_is_one_line_and_exit_2(argv: list[str], tmp_path: Path) -> None:
    """And told before any of it is done."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "tracer", *argv], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(several.ROOT)}, stderr=subprocess.PIPE, check=False, text=True,
        timeout=several.LIMIT,
    )  # fmt: skip
    expected = "tracer: stdout is closed, expected somewhere to write: /dev/null where nothing is to be seen\n"
    assert (done.returncode, done.stderr) == (2, expected)
