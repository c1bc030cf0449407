"""What goes wrong while a load runs: a rank dies, a file changes under the map, somebody stops it, a disk is full."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mappings.proof import Proof, prove
from tests import faulty_ranks, several, small_llama
from tests.several import FAULTY, finish, start, wait_for
from tracer import session
from tracer.checkpoint import safetensors
from tracer.checkpoint.stamp import Stamp
from tracer.cli import main, trace_load
from tracer.errors import InputError, UsageError
from tracer.execute import processes, rank
from tracer.prepare import prepare
from tracer.recorder import Note, Spool, read_spool
from tracer.report import jsonl
from tracer.sending import Tail, read_sent
from tracer.session import Request, run
from tracer.store import Store
from tracer.unchanged import changed, located

WITHIN = 10.0
"""Seconds from what happened to the end of the command."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that may be damaged."""
    copy = shutil.copytree(original, tmp_path / "model")
    monkeypatch.setenv("HALF_WAY", str(tmp_path / "half-way"))
    monkeypatch.setenv("FAULTY_FILE", str(copy / "model.safetensors"))
    return copy


def layers(path: Path, rank: int) -> set[str]:
    """The layers into which a rank of a saved trace had moved something."""
    return {move.param.split(".")[2] for move in Store.open(path).moves(rank) if ".layers." in move.param}


def half_way_at(tmp_path: Path) -> float:
    return float((tmp_path / "half-way").read_text().split()[2])


# --- a rank dies ---


@pytest.mark.parametrize(("loader", "said"), [
    (faulty_ranks.KillsItself, "rank 1: killed by signal 9 (SIGKILL: by hand, or by the system for want of memory)"),
    (faulty_ranks.RunsOutOfMemory, "memory"),
])  # fmt: skip
def test_a_rank_that_dies_ends_the_load_and_its_trace_stays_readable(
    folder: Path, tmp_path: Path, loader: type, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "t.db"
    result = run(Request(str(folder), 2, device="cpu"), saved, loader=loader)
    assert time.time() - half_way_at(tmp_path) < WITHIN
    assert result.failure is not None
    assert said in result.failure
    assert result.failure.startswith("rank 1: ")
    assert "\n" not in result.failure
    assert result.failed
    assert layers(saved, 1) == {"0"}
    store = Store.open(saved)
    assert store.end is None
    assert [(c.state, c.reason) for c in store.checks() if c.name == "load"] == [("failed", result.failure)]
    assert main(["audit", str(saved)]) == 1
    told = capsys.readouterr().out
    assert "audit.unwritten" in told
    assert f"\ncut short: {result.failure}\n" in told


def test_that_a_load_failed_is_an_error_though_all_was_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, lines = tmp_path / "t.db", tmp_path / "t.jsonl"
    with closing(run(Request(str(folder), 2, device="cpu"), saved, loader=faulty_ranks.DiesWhenDone).store) as store:
        (finding,) = store.findings()
        jsonl.write(jsonl.records(store), str(lines))
    assert (finding.code, finding.severity, finding.subject, finding.rank) == ("load.failed", "error", "rank 1", 1)
    assert finding.message.startswith("the load did not come to its end: rank 1: killed by signal 9")
    for trace in (saved, lines):
        assert main(["audit", str(trace)]) == 1
        assert f"ERROR  load.failed  {finding.message}\n" in capsys.readouterr().out


# --- a file changes while it is read ---


@pytest.mark.parametrize(("loader", "code", "said"), [
    (faulty_ranks.ReadsWhatWasCut, "file.truncated", "bytes, found 4096: it became shorter while it was read"),
    (faulty_ranks.RewritesTheFile, "file.changed", "it changed while it was read"),
    (faulty_ranks.ReplacesTheFile, "file.changed", "it changed while it was read"),
])  # fmt: skip
def test_a_file_that_changes_under_the_map_is_bad_input_and_never_ok(
    folder: Path, tmp_path: Path, loader: type, code: str, said: str
) -> None:
    file, saved = folder / "model.safetensors", tmp_path / "t.db"
    size = file.stat().st_size
    with pytest.raises(InputError) as caught:
        run(Request(str(folder), 1, device="cpu"), saved, loader=loader)
    assert caught.value.code == code
    assert str(caught.value).startswith(f"{file}: expected {size} bytes")
    assert said in str(caught.value)
    store = Store.open(saved)
    assert code in {finding.code for finding in store.findings()}
    assert store.end is None
    assert "0" in layers(saved, 0)


def test_a_page_that_cannot_be_read_though_no_file_changed_is_told_as_what_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a disk fails: the process is ended by the system, and nothing of the file says why."""
    monkeypatch.setattr(processes, "changed", lambda before: None)
    result = run(Request(str(folder), 1, device="cpu"), loader=faulty_ranks.ReadsWhatWasCut)
    assert result.damage is None
    assert (result.failure or "").startswith("rank 0: killed by signal 7 (SIGBUS: a page of a mapped file could not")


def test_a_file_that_changes_is_one_line_and_exit_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rank, "rank_process", faulty_ranks.rank_process)
    monkeypatch.setenv("FAULT", "CutsTheFile")
    assert trace_load([str(folder), "--device", "cpu"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"trace-load: {folder / 'model.safetensors'}: ")
    assert printed.err.endswith("[file.truncated]\n")
    assert printed.err.count("\n") == 1


def test_stamps_notice_every_change_and_nothing_else(folder: Path) -> None:
    file = folder / "model.safetensors"
    before = stamps_of(folder)
    assert list(before) == [str(file)]
    assert changed(before) is None
    assert file.read_bytes()
    file.chmod(0o600)
    assert changed(before) is None
    os.utime(file, (1, 1))
    assert (changed(before) or InputError("")).code == "file.changed"
    file.unlink()
    assert "found no file" in str(changed(before))


def stamps_of(folder: Path) -> dict[str, Stamp]:
    checkpoint = prepare(Request(str(folder))).checkpoint
    assert checkpoint is not None
    return located(folder, checkpoint.stamps)


def test_a_file_that_is_swapped_between_its_header_and_the_load_is_never_ok(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the command has read the header and before its ranks do, whose offsets and names are as good as those."""
    file = folder / "model.safetensors"

    def swap_and_prove(*about: Any) -> list[Proof]:
        other = file.with_suffix(".other")
        other.write_bytes(file.read_bytes()[:-4] + bytes(4))
        os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
        other.replace(file)
        return prove(*about)

    monkeypatch.setattr(session, "prove", swap_and_prove)
    assert trace_load([str(folder), "--device", "cpu"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"trace-load: {file}: expected ")
    assert printed.err.endswith("found another file of the same size and time: it changed while it was read"
                                " [file.changed]\n")  # fmt: skip


def test_a_rank_maps_no_other_file_than_that_of_its_headers(folder: Path) -> None:
    """Not even where the right one is back when the load has ended."""
    with pytest.raises(InputError, match="it changed while it was read") as caught:
        run(Request(str(folder), 1, device="cpu"), loader=faulty_ranks.MapsAnotherFile)
    assert caught.value.code == "file.changed"
    assert changed(stamps_of(folder)) is None


def test_a_header_that_shrinks_while_it_is_read_is_truncated(original: Path) -> None:
    whole = (original / "model.safetensors").read_bytes()
    length = int.from_bytes(whole[:8], "little")
    with pytest.raises(InputError, match=f"a header of {length} bytes, only 92 could be read") as caught:
        safetensors.read(io.BytesIO(whole[:100]), len(whole), "model.safetensors", "model.safetensors")
    assert caught.value.code == "file.truncated"


# --- somebody stops it ---


@pytest.mark.parametrize(("number", "status", "said"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"),
])  # fmt: skip
def test_a_load_that_is_stopped_keeps_what_was_observed_and_leaves_nobody_behind(
    folder: Path, tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    saved = outputs / "t.db"
    process = start(
        [*FAULTY, "load", folder, "--device", "cpu", "--save", saved, "--json", outputs / "t.jsonl"],
        {"FAULT": "WaitsOnRankZero"},
    )
    rank, parent = wait_for(tmp_path / "half-way")
    assert parent == process.pid
    time.sleep(0.3)
    began = time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    ended = finish(process)
    assert time.monotonic() - began < WITHIN
    assert ended == (status, "", f"tracer: {said}; what was observed until then is in {saved}\n")
    assert not several.alive(rank)
    assert [path.name for path in outputs.iterdir()] == ["t.db"]
    assert layers(saved, 0) == {"0"}
    checks = {check.name: (check.state, check.reason) for check in Store.open(saved).checks()}
    assert checks["load"] == ("failed", "interrupted")
    assert checks["audit"] == ("not-checked", "interrupted")


def test_before_the_load_has_begun_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(session, "add_params", stop)
    assert trace_load(["--plan", "--save", str(tmp_path / "t.db")]) == 130
    assert capsys.readouterr().err == "trace-load: interrupted\n"
    assert list(tmp_path.iterdir()) == []


# --- what cannot be written ---

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


def test_a_full_disk_under_the_notes_of_a_rank_names_their_file(tmp_path: Path) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "notes").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught, Spool(tmp_path / "notes") as spool:
        spool(["param"])
    assert caught.value.filename == str(tmp_path / "notes")


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


def test_a_store_that_cannot_be_begun_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.store.SCHEMA", "CREATE TABLE a (b); CREATE NONSENSE;")
    with pytest.raises(UsageError, match="cannot write"):
        Store.new(tmp_path / "t.db")
    assert list(tmp_path.iterdir()) == []


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


# --- the rest ---


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "0"], "--tp 0: expected at least 1"), (["--tp", "-2"], "--tp -2: expected at least 1"),
    (["--tp", "2", "--rank", "-1"], "--rank -1: expected 0 to 1"),
    (["--tp", "2", "--rank", "2"], "--rank 2: expected 0 to 1"),
])  # fmt: skip
def test_ranks_that_do_not_exist_are_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace_load([*argv, "--plan"]) == 2
    err = capsys.readouterr().err
    assert (err.count("\n"), said in err) == (1, True)


def test_a_spool_is_read_in_batches_from_near_and_far(tmp_path: Path) -> None:
    path, copy = tmp_path / "notes", tmp_path / "copy"
    tail = Tail(path)
    assert tail() == b""
    views = 3, (2, 2), (4, 1), 0, (2, 1)
    notes: list[Note] = [
        ["file", "/m", 1, 2, 3], ["param", "p", (2, 2), (2, 1), "torch.float32", None],
        ["move", "t", "p", "row", 0, None, *views], ["move", "t", "p", "row", "q", "neg_exp", *views],
        ["pad", "p", 0.0, "why", 0, (2,), (1,)],
    ]  # fmt: skip
    sent = b""
    with Spool(path) as spool:
        for note in notes:
            spool(note)
            spool.flush()
            sent += tail()
    sent += tail()
    copy.write_bytes(sent[:-1])
    assert [note for batch in read_spool(path) for note in batch] == notes
    assert [note for batch in read_sent(copy, 1) for note in batch] == notes, "only the empty last batch was cut"
    copy.write_bytes(path.read_bytes()[:-1])
    assert [note for batch in read_spool(copy) for note in batch] == notes


@pytest.mark.parametrize("garbage", [
    b"\xff\xfe\n", b"{\n", b"5\n", b"[[]]\n", b'[["paramx"]]\n', b'[["param", "p"]]\n',
    b'[["file", "f", 1, 2, true]]\n',
    b'[["pad", "p", 0.0, "why", 0, [2.5], [1]]]\n', b'[["pad", "p", 0.0, "why", 0, 7, [1]]]\n', b"[" * 100_000 + b"\n",
])  # fmt: skip
def test_what_comes_from_another_machine_and_is_no_note_is_one_line(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "notes").write_bytes(garbage)
    with pytest.raises(InputError, match=r"^rank 3: expected its notes, found something else: ") as caught:
        list(read_sent(tmp_path / "notes", 3))
    assert "\n" not in str(caught.value)


def test_commands_close_the_stores_that_they_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Store] = []
    initialise = Store.__init__

    def remember(self: Store, *args: object) -> None:
        initialise(self, *args)  # type: ignore[arg-type]
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    saved = tmp_path / "t.db"
    assert trace_load(["--plan", "--save", str(saved)]) == 0
    assert main(["audit", str(saved)]) == 0
    assert len(opened) == 2
    for store in opened:
        with pytest.raises(Exception, match="closed database"):
            store.count("move")
