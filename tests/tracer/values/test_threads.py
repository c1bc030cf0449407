"""Several threads read one file: its bytes in their order, and the same statistics to the last bit as one alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.tracer.values.checkpoints import NUMPY, Raw, opened, raw, weights
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.weights import MappedFile
from tracer.errors import InputError
from tracer.values import Statistics, scan, scanning
from tracer.values.in_order import InOrder
from tracer.values.parts import Part
from tracer.values.pieces import PIECE, STRETCH, places

ELEMENTS = (2 * STRETCH + PIECE + 4096) // 2


def made(dtype: str) -> dict[str, Raw]:
    """Of several stretches, with zeros, a run of them, and what is no number in the last stretch; and small ones."""
    width = np.dtype(NUMPY[dtype]).itemsize
    numbers = weights(1, (ELEMENTS * 2 // width,)) * np.float32(100)
    numbers[:: PIECE // 3] = 0
    numbers[STRETCH // width : STRETCH // width + 3 * PIECE // width] = 0
    broken = numbers.copy()
    broken[[-5, -3]] = np.nan
    return {
        "a": raw(dtype, numbers), "b": raw(dtype, broken), "c": raw(dtype, numbers[:7]), "d": raw(dtype, -numbers),
    }  # fmt: skip


def scanned(checkpoint: Checkpoint, threads: int, monkeypatch: pytest.MonkeyPatch) -> list[Statistics]:
    monkeypatch.setattr(scanning, "_threads", lambda: threads)
    return list(scan(checkpoint, target="F16"))


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F64", "F8_E4M3"])
def test_however_many_threads_there_are_the_statistics_are_the_same(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = opened(tmp_path, made(dtype))
    alone = scanned(checkpoint, 1, monkeypatch)
    assert [each.name for each in alone] == ["a", "b", "c", "d"]
    assert alone[1].part.nan == 2
    assert alone[1].first_nonfinite == alone[1].count - 5
    for threads in (2, 5, 5, 5):
        assert scanned(checkpoint, threads, monkeypatch) == alone


def test_a_file_is_read_from_its_beginning_to_its_end_by_one_thread_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes to two places of it at once gets half of what the disk can give."""
    checkpoint = opened(tmp_path, made("F32"))
    reads: list[tuple[int, int]] = []
    readers: set[str] = set()
    free = threading.Lock()
    read_into = MappedFile.read_into

    def noted(file: MappedFile, offset: int, into: memoryview) -> None:
        assert free.acquire(blocking=False), "two at once"
        reads.append((offset, len(into)))
        readers.add(threading.current_thread().name)
        read_into(file, offset, into)
        free.release()

    monkeypatch.setattr(MappedFile, "read_into", noted)
    scanned(checkpoint, 4, monkeypatch)
    assert len(readers) > 1
    assert reads == [place for tensor in checkpoint.tensors for place in places(tensor, STRETCH)]
    assert sum(length for _, length in reads) == sum(tensor.nbytes for tensor in checkpoint.tensors)


def test_a_stretch_that_cannot_be_read_costs_its_tensor_and_none_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = opened(tmp_path, made("F32"))
    broken = checkpoint.tensors[1].offset or 0
    read_into = MappedFile.read_into

    def failing(file: MappedFile, offset: int, into: memoryview) -> None:
        if offset == broken + STRETCH:
            raise InputError("the disk says no")
        read_into(file, offset, into)

    monkeypatch.setattr(MappedFile, "read_into", failing)
    monkeypatch.setattr(scanning, "_threads", lambda: 3)
    for _ in range(5):
        found = scan(checkpoint)
        assert next(found).name == "a"
        with pytest.raises(InputError, match="the disk says no"):
            next(found)


def test_an_error_nobody_thought_of_reaches_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than that he waits for ever."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tracer.values.statistics.zero_bytes", broken)
    with pytest.raises(ZeroDivisionError):
        list(scan(opened(tmp_path, made("F32"))))


def test_parts_that_come_early_wait_for_their_turn() -> None:
    parts = [Part(finite=1, minimum=x, maximum=x, mean=x) for x in (1e16, 1.0, -1e16, 3.0, 1e-3)]
    expected = Part()
    for part in parts:
        expected += part
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        found = InOrder(Part())
        for number in order:
            found.add(number, parts[number])
        assert found.total == expected
