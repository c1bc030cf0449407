"""Copies out of a mapped file: through the map, or, where that is slower, long runs by reading them.

The first touch of a mapped page costs more than copying it where the page cache holds a file in small pages; a read
pays nothing of the kind. Where it holds large ones, copying in this process is the faster of the two.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from resource import RUSAGE_THREAD, getrusage
from threading import Thread
from typing import Protocol

import torch

LONG = 1 << 20
"""Bytes of a run from which on it is read: for shorter ones the calls cost what they save."""
PROBE = 2 << 20
"""Bytes of a file's first run that are touched to see in what pages it is held."""
SPOTS = 2
"""Places that they are taken from, the run's beginning and its end: what was written at once is held alike."""
FAULTS_A_MEGABYTE = 4
"""Pages of 2 MB take one fault, or two where a place lies across their border. Smaller ones are mapped 16 to 32 at a
time, which makes 8 to 16 faults, and are unmapped one by one: of 2.3 GB, 50 ms, where a copy takes 100."""
SHARE = 1 << 20
"""Bytes that are worth handing to another thread."""
_PAGE = 4096


class MappedBytes(Protocol):
    """A file that is mapped, as a buffer, and can be read as well."""

    def __len__(self) -> int: ...

    def read_into(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes from `offset` on, or raise. Called by several threads at once."""


class OpenFile:
    """One mapped file and the address at which its map begins, by which views of it are known."""

    def __init__(self, mapped: MappedBytes, small_pages: bool | None = None) -> None:
        self.mapped = mapped
        self._small = small_pages
        with warnings.catch_warnings():
            # Said once a process, at the first of all buffers; to ask for silence at each takes longer than a note.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            self._address = torch.frombuffer(mapped, dtype=torch.uint8, count=1).data_ptr()

    def in_small_pages(self, view: torch.Tensor) -> bool:
        """Whether the page cache holds the file in small pages, seen at the first contiguous view asked about."""
        if self._small is None:
            probe = _spots(view.view(-1).view(torch.uint8))
            probe[0, :1].sum()  # else what the first sum of a process touches is counted too
            before = getrusage(RUSAGE_THREAD).ru_minflt
            probe.sum()
            faults = getrusage(RUSAGE_THREAD).ru_minflt - before
            self._small = faults * (1 << 20) > FAULTS_A_MEGABYTE * probe.numel() * _PAGE
        return self._small

    def offset(self, view: torch.Tensor) -> int | None:
        """Where a contiguous view begins in the file; None where it is a view of something else."""
        if view.device.type != "cpu":
            return None
        begin = view.data_ptr() - self._address
        return begin if 0 <= begin <= len(self.mapped) - view.nbytes else None


def _spots(run: torch.Tensor) -> torch.Tensor:
    """One byte a page, of places all over a run of bytes: (places, pages)."""
    span = min(PROBE, len(run)) // SPOTS
    apart = (len(run) - span) // (SPOTS - 1)
    return run.as_strided((SPOTS, span // _PAGE), (apart, _PAGE), run.storage_offset())


class Helpers:
    """Threads that wait for work. An executor's hand-over takes a fiftieth of the time that a run of 50 MB takes."""

    def __init__(self, count: int) -> None:
        self._orders: list[SimpleQueue[Callable[[], None] | None]] = [SimpleQueue() for _ in range(count)]
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self._threads = [Thread(target=_serve, args=(own, self._outcomes), daemon=True) for own in self._orders]
        for thread in self._threads:
            thread.start()

    def run(self, own: Callable[[], None], others: Sequence[Callable[[], None]]) -> None:
        """Do all at once, the first in this thread; raise what one of them raised, when all have ended."""
        for orders, work in zip(self._orders, others, strict=False):
            orders.put(work)
        try:
            own()
        finally:
            failed = [error for error in [self._outcomes.get() for _ in others] if error is not None]
        if failed:
            raise failed[0]

    def end(self) -> None:
        """End the threads and wait for it: an interpreter that exits beside them may be aborted."""
        for orders in self._orders:
            orders.put(None)
        for thread in self._threads:
            thread.join()


def _serve(orders: SimpleQueue[Callable[[], None] | None], outcomes: SimpleQueue[BaseException | None]) -> None:
    while (work := orders.get()) is not None:
        try:
            work()
            outcomes.put(None)
        except BaseException as error:  # whoever waits for the outcome raises it
            outcomes.put(error)


class Reader:
    """`dst.copy_(src)` by other means, where `src` is a view of a mapped file."""

    def __init__(self) -> None:
        self._threads = torch.get_num_threads()
        self._helpers: Helpers | None = None

    def copying(self, dst: torch.Tensor, src: torch.Tensor, file: OpenFile) -> Callable[[], object]:
        """What copies all of `src` when called, in as many threads as torch has."""
        works = [self._one(to, of, file) for to, of in runs(dst, src)]
        return works[0] if len(works) == 1 else partial(_all, works)

    def _one(self, to: torch.Tensor, of: torch.Tensor, file: OpenFile) -> Callable[[], object]:
        offset = file.offset(of) if _readable(to, of) else None
        if offset is None or not file.in_small_pages(of):
            return partial(to.copy_, of)
        return partial(self._read, file.mapped, offset, to.detach().view(-1).view(torch.uint8).numpy().data)

    def finish(self) -> None:
        """Nothing more will be copied."""
        if self._helpers is not None:
            self._helpers.end()
            self._helpers = None

    def _read(self, mapped: MappedBytes, offset: int, into: memoryview) -> None:
        share = max(SHARE, -(-len(into) // self._threads))
        if share >= len(into):
            mapped.read_into(offset, into)
            return
        if self._helpers is None:
            self._helpers = Helpers(self._threads - 1)
        shares = ((begin, into[begin : begin + share]) for begin in range(0, len(into), share))
        first, *others = (partial(mapped.read_into, offset + begin, part) for begin, part in shares)
        self._helpers.run(first, others)


def _all(works: Sequence[Callable[[], object]]) -> None:
    for work in works:
        work()


def runs(dst: torch.Tensor, src: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """A copy taken apart along its outer dimensions, as long as the pieces are long and something is won by it."""
    if dst.dim() == 0 or _whole(dst, src) or dst.shape != src.shape or dst.nbytes < LONG * dst.shape[0]:
        yield dst, src
    else:
        for pair in zip(dst.unbind(0), src.unbind(0), strict=True):
            yield from runs(*pair)


def _whole(dst: torch.Tensor, src: torch.Tensor) -> bool:
    return dst.is_contiguous() and src.is_contiguous()


def _readable(dst: torch.Tensor, src: torch.Tensor) -> bool:
    """Whether the bytes of `src`, as they follow each other, are those that `dst` is to hold."""
    same = dst.dtype == src.dtype and dst.shape == src.shape and dst.device.type == "cpu"
    return same and src.nbytes >= LONG and _whole(dst, src)
