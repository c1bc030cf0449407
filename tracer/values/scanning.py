"""Reads every byte of a checkpoint once, several tensors at a time, in the order of its files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checkpoint.weights import MappedFile
from tracer.values.pieces import PIECE, opened, pieces_of, unreadable
from tracer.values.statistics import Reading, Statistics, without_bytes

Told = Callable[[int, int], None]
"""Hears of bytes done and bytes in all, now and then, from any thread but from one at a time."""
_MOST_THREADS = 8
_Place = tuple[str | None, int | None, int, str, tuple[int, ...], tuple[int, ...] | None]


def scan(checkpoint: Checkpoint, told: Told | None = None, target: str | None = None) -> Iterator[Statistics]:
    """The statistics of each tensor, in the order of the files' bytes; two names for the same bytes are read once.

    `target` is the dtype whose overflows are counted. The files must be on this machine. Raises InputError when one
    of them cannot be read, ends early, or is another than its header was read from.
    """
    folder = checkpoint.files.folder
    assert folder is not None, "a checkpoint without bytes"
    progress = _Progress(told, sum(tensor.nbytes for tensor in _distinct(checkpoint.tensors)))
    with _Pool(target, progress) as pool:
        for file, tensors in _by_file(checkpoint.tensors).items():
            with opened(folder / file, checkpoint.stamps.get(file)) as mapped:
                yield from pool.read(mapped, tensors)


def _by_file(tensors: Sequence[TensorInfo]) -> dict[str, list[TensorInfo]]:
    files: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        if tensor.file is not None:
            files.setdefault(tensor.file, []).append(tensor)
    return {file: sorted(held, key=lambda tensor: tensor.offset or 0) for file, held in files.items()}


def _distinct(tensors: Sequence[TensorInfo]) -> list[TensorInfo]:
    return list({_place(tensor): tensor for tensor in tensors}.values())


def _place(tensor: TensorInfo) -> _Place:
    """What two names for one tensor have in common."""
    return (tensor.file, tensor.offset, tensor.nbytes, tensor.dtype, tensor.shape, tensor.strides)


class _Progress:
    """Bytes done, by all threads."""

    def __init__(self, told: Told | None, total: int) -> None:
        self._told = told
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self.stopped = False

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self._done += nbytes
            if self._told is not None and not self.stopped:
                self._told(self._done, self._total)


def _threads() -> int:
    """Half as many as there are cores, one at least: each more is one more place of the file that the disk goes to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_THREADS, max(1, cores // 2))


class _Pool:
    """Threads, each with one buffer for bytes and one for counting, whatever the size of a tensor."""

    def __init__(self, target: str | None, progress: _Progress) -> None:
        self._target = target
        self._progress = progress
        self._threads = ThreadPoolExecutor(_threads(), "values")
        self._own = threading.local()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def read(self, file: MappedFile, tensors: Sequence[TensorInfo]) -> Iterator[Statistics]:
        """The tensors of one file, in their order. None is read any more when this ends, however it does."""
        distinct = {_place(tensor): tensor for tensor in tensors}
        reading = {place: self._threads.submit(self._read, file, tensor) for place, tensor in distinct.items()}
        try:
            for tensor in tensors:
                yield replace(reading[_place(tensor)].result(), name=tensor.name)
        finally:
            # Whoever asked may have stopped asking, and Ctrl-C may have come; the file is closed next.
            self._progress.stopped = not all(each.done() for each in reading.values())
            for each in reading.values():
                each.cancel()
            wait(reading.values())

    def _read(self, file: MappedFile, tensor: TensorInfo) -> Statistics:
        reason = unreadable(tensor)
        if reason:
            self._progress.advance(tensor.nbytes)
            return without_bytes(tensor, reason)
        buffer, scratch = self._scratch()
        reading = Reading(tensor, self._target, scratch)
        for piece in pieces_of(file, tensor, buffer):
            reading.add(piece)
            self._progress.advance(len(piece))
            if self._progress.stopped:
                break
        return reading.done()

    def _scratch(self) -> tuple[memoryview, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        if not hasattr(self._own, "buffer"):
            self._own.buffer = memoryview(bytearray(PIECE))
            self._own.scratch = np.empty(PIECE // 2, np.int64)
        return self._own.buffer, self._own.scratch
