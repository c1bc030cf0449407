"""Nothing half-written stays behind, nothing of the checkpoint is touched, and each refusal is one line."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.tracer.repair.damaged import TWO, repaired, whole, write
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import InputError, UsageError
from tracer.repair import whole_files, written
from tracer.repair.changes import Change, Rename, Transform
from tracer.repair.repair import repair

CHANGES: list[Change] = [Transform(("t0",), "add", amount=1.0)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "model", {f"t{n}": torch.randn(300, 100) for n in range(4)}, TWO)


@contextmanager
def nothing_left(source: Path) -> Iterator[None]:
    """Beside the checkpoint nothing is there that was not, and it is what it was."""
    before, beside = whole(source), sorted(path.name for path in source.parent.iterdir())
    yield
    assert whole(source) == before
    assert sorted(path.name for path in source.parent.iterdir()) == beside


# --- where ---


@pytest.mark.parametrize("place", ["model", "model/copy", "model/a/../copy", ".", "link", "link/copy"])
def test_the_copy_never_lies_in_the_checkpoint_nor_around_it(source: Path, place: str) -> None:
    (source.parent / "link").symlink_to(source)
    with nothing_left(source), pytest.raises(UsageError):
        repaired(source, CHANGES, source.parent / place)


def test_a_checkpoint_that_was_named_by_a_link_is_as_safe(source: Path) -> None:
    link = source.parent / "link"
    link.symlink_to(source)
    with nothing_left(source), pytest.raises(UsageError, match="would lie one in the other"):
        repaired(link, CHANGES, source / "copy")


def test_what_holds_files_or_is_one_is_not_written_over(source: Path) -> None:
    full, file = source.parent / "full", source.parent / "file"
    full.mkdir()
    (full / "note").write_text("precious")
    file.write_text("precious")
    with nothing_left(source):
        with pytest.raises(UsageError, match="expected a new or an empty folder, found one that holds files"):
            repaired(source, CHANGES, full)
        with pytest.raises(UsageError, match="expected a new or an empty folder, found a file"):
            repaired(source, CHANGES, file)
        with pytest.raises(UsageError, match=f"there is no folder {source.parent / 'a'}"):
            repaired(source, CHANGES, source.parent / "a" / "b")
    assert file.read_text() == (full / "note").read_text() == "precious"


def test_a_mount_point_whose_place_no_folder_takes_is_refused_at_once(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source.parent / "volume").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "volume")
    with nothing_left(source), pytest.raises(UsageError, match=r"volume: a mount point .* name a folder inside it"):
        repaired(source, CHANGES, source.parent / "volume")
    repaired(source, CHANGES, source.parent / "volume" / "copy")


def test_an_empty_folder_and_a_link_to_one_are_filled(source: Path) -> None:
    empty = source.parent / "empty"
    empty.mkdir()
    (source.parent / "link").symlink_to(empty)
    repaired(source, CHANGES, source.parent / "link")
    assert {file.name for file in empty.iterdir()} == {file.name for file in source.iterdir()}
    assert (source.parent / "link").is_symlink()


def test_a_name_that_is_taken_meanwhile_is_left_to_whoever_took_it(source: Path) -> None:
    copy = source.parent / "copy"

    def takes(done: int, total: int) -> None:
        copy.mkdir(exist_ok=True)
        (copy / "note").write_text("precious")

    with pytest.raises(UsageError, match=r"cannot write .*copy: Directory not empty; nothing was left there"):
        repair(open_checkpoint(source), [CHANGES], copy, takes)
    assert sorted(path.name for path in source.parent.iterdir()) == ["copy", "model"]
    assert [path.name for path in copy.iterdir()] == ["note"]


# --- what comes between ---


def test_whenever_it_is_interrupted_nothing_is_left(source: Path) -> None:
    copy, heard = source.parent / "copy", 0
    repair(open_checkpoint(source), [CHANGES], copy, lambda done, total: None)
    shutil.rmtree(copy)
    for stop in range(1, 1000):
        heard = 0

        def interrupted(done: int, total: int, stop: int = stop) -> None:
            nonlocal heard
            heard += 1
            if heard == stop:
                raise KeyboardInterrupt

        try:
            with nothing_left(source):
                repair(open_checkpoint(source), [CHANGES], copy, interrupted)
                shutil.rmtree(copy)
                break
        except KeyboardInterrupt:
            assert not copy.exists()
    assert heard < stop, "it was interrupted at each sign of progress, and once not at all"
    assert stop > 5


PROGRAM = """
import sys, time
from pathlib import Path
from tracer.checkpoint.folder import open_checkpoint
from tracer.interrupts import terminable
from tracer.repair.changes import Transform
from tracer.repair.repair import repair

def slowly(done, total):
    print(done, flush=True)
    time.sleep(60)

with terminable():
    repair(open_checkpoint(Path(sys.argv[1])), [[Transform(("t0",), "add", amount=1.0)]], Path(sys.argv[2]), slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_told_to_end_leaves_nothing(source: Path, number: signal.Signals) -> None:
    with nothing_left(source):
        command = [sys.executable, "-c", PROGRAM, str(source), str(source.parent / "copy")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert len(list(source.parent.iterdir())) == 2, "something is being written"
            process.send_signal(number)
            began = time.monotonic()
            assert process.wait(30) != 0
        assert time.monotonic() - began < 20


def test_a_file_that_the_disk_has_no_room_for_ends_in_one_line(source: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with nothing_left(source):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
            with pytest.raises(UsageError, match=r"cannot write .*copy: File too large; nothing was left there"):
                repaired(source, CHANGES, source.parent / "copy")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Usage(NamedTuple):
    free: int


def test_the_room_that_a_copy_takes_is_known_before_a_byte_is_written(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """... and it is exact: a byte less is refused."""
    repaired(source, CHANGES, source.parent / "first")
    needed = sum(map(len, whole(source.parent / "first").values()))
    monkeypatch.setattr("tracer.repair.target.shutil.disk_usage", lambda path: Usage(needed - 1))
    monkeypatch.setattr("tracer.repair.repair.copy", None)
    with nothing_left(source), pytest.raises(UsageError, match=f"needs {needed} bytes, the disk has {needed - 1} free"):
        repaired(source, CHANGES, source.parent / "copy")
    monkeypatch.undo()
    monkeypatch.setattr("tracer.repair.target.shutil.disk_usage", lambda path: Usage(needed))
    repaired(source, CHANGES, source.parent / "copy")


def test_what_shares_its_blocks_takes_no_room(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the file system could: a clone that is a copy."""

    def cloned(old: Path, new: Path, stamp: object) -> bool:
        shutil.copyfile(old, new)
        return True

    monkeypatch.setattr("tracer.repair.repair.clone", cloned)
    room = (source / TWO[0]).stat().st_size
    monkeypatch.setattr("tracer.repair.target.shutil.disk_usage", lambda path: Usage(room))
    repaired(source, CHANGES, source.parent / "copy")
    assert whole(source.parent / "copy").keys() == whole(source).keys()


def test_a_folder_that_may_not_be_written_to_is_refused_at_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so it is told that it may not."""
    monkeypatch.setattr("tracer.repair.target.os.access", lambda path, mode: False)
    with nothing_left(source), pytest.raises(UsageError, match=f"the folder {source.parent} is read-only"):
        repaired(source, CHANGES, source.parent / "copy")


def test_a_checkpoint_that_changed_after_it_was_opened_is_not_copied(source: Path) -> None:
    for file in TWO:
        checkpoint = open_checkpoint(source)
        os.utime(source / file, ns=(1, 1))
        with nothing_left(source), pytest.raises(InputError, match=f"{file}: it has changed since it was diagnosed"):
            repair(checkpoint, [CHANGES], source.parent / "copy")


@pytest.mark.parametrize("file", TWO)
def test_a_checkpoint_that_changes_while_it_is_copied_is_not_copied(source: Path, file: str) -> None:
    """Whether the file is copied whole or tensor by tensor."""

    def touches(done: int, total: int) -> None:
        os.utime(source / file, ns=(1, 1))

    with nothing_left(source), pytest.raises(InputError, match=f"{file}: expected .*it changed "):
        repair(open_checkpoint(source), [CHANGES], source.parent / "copy", touches)


def test_a_copy_that_does_not_read_as_it_was_written_is_not_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loses_a_bit(target: Path, *rest: object) -> list[str]:
        digests = written.write(target, *rest)  # type: ignore[arg-type]
        content = bytearray(target.read_bytes())
        content[-7] ^= 16
        target.write_bytes(content)
        return digests

    monkeypatch.setattr("tracer.repair.repair.write", loses_a_bit)
    with nothing_left(source), pytest.raises(UsageError, match="t2 does not read as it was written"):
        repaired(source, CHANGES, source.parent / "copy")


# --- files as they are ---


def test_a_copy_is_not_tied_to_its_source(source: Path) -> None:
    repaired(source, [Rename({"t0": "new"})], source.parent / "copy")
    for path in (source.parent / "copy").iterdir():
        assert path.stat().st_nlink == 1
        assert not path.is_symlink()
    before = whole(source.parent / "copy")
    for path in source.iterdir():
        path.write_bytes(b"gone")
    assert whole(source.parent / "copy") == before


@pytest.mark.parametrize("refused", [(), ("_in_the_kernel",), ("_in_the_kernel", "_sent")])
@pytest.mark.parametrize("way", ["refuses", "copies nothing"])
def test_each_way_of_copying_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...], way: str
) -> None:  # fmt: skip
    def fails(*_: object) -> int:
        if way == "refuses":
            raise OSError(errno.EXDEV, "no")
        return 0

    for name in refused:
        monkeypatch.setattr(whole_files, name, fails)
    monkeypatch.setattr(whole_files, "AT_ONCE", 100_000)
    content, heard = os.urandom(1_234_567), list[int]()
    (tmp_path / "a").write_bytes(content)
    assert whole_files.copy(tmp_path / "a", tmp_path / "b", None, heard.append) == len(content)
    assert (tmp_path / "b").read_bytes() == content
    assert (sum(heard), len(heard)) == (len(content), 13)


def test_what_fails_in_the_kernel_is_not_tried_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_files, "_in_the_kernel", full)
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(OSError, match="No space left"):
        whole_files.copy(tmp_path / "a", tmp_path / "b", None, lambda count: None)
