"""A file that changes while a load reads it is bad input, whenever it changes, and never ok."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from mappings.proof import Proof, prove
from tests import faulty_ranks
from tests.tracer.half_way import folder, layers, original
from tracer import session
from tracer.checkpoint import safetensors
from tracer.checkpoint.stamp import Stamp
from tracer.cli import trace_load
from tracer.errors import InputError
from tracer.execute import rank
from tracer.prepare import prepare
from tracer.session import Request, run
from tracer.store import Store
from tracer.unchanged import changed, located

__all__ = ["folder", "original"]


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
