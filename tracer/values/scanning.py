"""Reads every byte of a checkpoint once, in the order of its files; what was read is folded by several threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checkpoint.weights import MappedFile
from tracer.errors import InputError
from tracer.values.patterns import Counts
from tracer.values.pieces import PIECE, STRETCH, opened, places, unreadable
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
    """As many as there are cores: one reads while the others look at what they have read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_THREADS, max(1, cores))


class _Job:
    """One tensor, of which several threads may have a piece at a time."""

    def __init__(self, tensor: TensorInfo) -> None:
        self.tensor = tensor
        self.found: Future[Statistics] = Future()
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        """Until it is settled: what counts patterns is large."""
        self._left = 0

    def begin(self, target: str | None, pieces: int) -> Reading:
        """What so many pieces are to be given to; without any it is settled."""
        reading = Reading(self.tensor, target)
        if pieces:
            self._reading, self._left = reading, pieces
        else:
            self.found.set_result(reading.done())
        return reading

    def folded(self) -> None:
        """One more piece; the last one settles it."""
        with self._lock:
            self._left -= 1
            if self._reading is not None and not self._left:
                self.found.set_result(self._reading.done())
                self._reading = None

    def fail(self, error: BaseException) -> None:
        """Whoever asks for the result is told; only the first time counts."""
        with self._lock:
            self._reading = None
            if not self.found.done():
                self.found.set_exception(error)


class _Piece(NamedTuple):
    job: _Job
    reading: Reading
    number: int
    begin: int
    length: int


class _Line:
    """The pieces of one file, in the order of its bytes, each for whichever thread asks next."""

    def __init__(self, file: MappedFile, jobs: Sequence[_Job], target: str | None, progress: _Progress) -> None:
        self._file = file
        self.jobs = jobs
        self._target = target
        self._progress = progress
        self._pieces = self._in_order()
        self._lock = threading.Lock()

    def work(self, buffer: memoryview, scratch: Counts) -> None:
        """Take pieces until there are no more, or nobody asks any more."""
        try:
            while not self._progress.stopped and (piece := self._take(buffer)):
                self._fold(piece, buffer, scratch)
        except BaseException as error:  # whoever waits for a result raises it
            for job in self.jobs:
                job.fail(error)

    def _take(self, buffer: memoryview) -> _Piece | None:
        """Read the next piece. One at a time: a disk that is asked for two places at once gives each of them late."""
        with self._lock:
            for piece in self._pieces:
                try:
                    self._file.read_into(piece.begin, buffer[: piece.length])
                except InputError as error:
                    piece.job.fail(error)
                    continue
                piece.reading.take(buffer[: piece.length])
                return piece
        return None

    def _fold(self, piece: _Piece, buffer: memoryview, scratch: Counts) -> None:
        offset = piece.job.tensor.offset
        assert offset is not None
        piece.reading.fold(buffer[: piece.length], piece.number, piece.begin - offset, scratch)
        self._progress.advance(piece.length)
        piece.job.folded()

    def _in_order(self) -> Iterator[_Piece]:
        for job in self.jobs:
            reason = unreadable(job.tensor)
            if reason:
                self._progress.advance(job.tensor.nbytes)
                job.found.set_result(without_bytes(job.tensor, reason))
                continue
            own = list(places(job.tensor, STRETCH))
            reading = job.begin(self._target, len(own))
            for number, (begin, length) in enumerate(own):
                if job.found.done():  # what follows a piece that could not be read is not asked for
                    break
                yield _Piece(job, reading, number, begin, length)


class _Pool:
    """Threads, each with one buffer for bytes and one for counting, whatever the size of a tensor."""

    def __init__(self, target: str | None, progress: _Progress) -> None:
        self._target = target
        self._progress = progress
        self._count = _threads()
        self._threads = ThreadPoolExecutor(self._count, "values")
        self._own = threading.local()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def read(self, file: MappedFile, tensors: Sequence[TensorInfo]) -> Iterator[Statistics]:
        """The tensors of one file, in their order. None is read any more when this ends, however it does."""
        jobs = {place: _Job(tensor) for place, tensor in {_place(tensor): tensor for tensor in tensors}.items()}
        line = _Line(file, list(jobs.values()), self._target, self._progress)
        working = [self._threads.submit(self._work, line) for _ in range(self._count)]
        try:
            for tensor in tensors:
                yield replace(jobs[_place(tensor)].found.result(), name=tensor.name)
        finally:
            # Whoever asked may have stopped asking, and Ctrl-C may have come; the file is closed next.
            self._progress.stopped = not all(job.found.done() for job in jobs.values())
            wait(working)

    def _work(self, line: _Line) -> None:
        if not hasattr(self._own, "buffer"):
            self._own.buffer = memoryview(bytearray(STRETCH))
            self._own.scratch = np.empty(PIECE // 2, np.int64)
        line.work(self._own.buffer, self._own.scratch)
