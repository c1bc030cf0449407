"""Copies out of a mapped file: long runs of bytes are read, the rest goes through the map.

The first touch of a mapped page costs more than copying it where the page cache holds small pages; a read pays nothing
of the kind, and a file that was cut short meanwhile gives it an error where the map ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

import torch

LONG = 1 << 20
"""Bytes of a run from which on it is read: for shorter ones the calls cost what they save."""
SHARE = 4 << 20
"""Bytes that are worth handing to another thread."""


class MappedBytes(Protocol):
    """A file that is mapped, as a buffer, and can be read as well."""

    def __len__(self) -> int: ...

    def read_into(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes from `offset` on, or raise. Called by several threads at once."""


class OpenFile:
    """One mapped file and the address at which its map begins, by which views of it are known."""

    def __init__(self, mapped: MappedBytes) -> None:
        self.mapped = mapped
        self._address = torch.frombuffer(mapped, dtype=torch.uint8, count=1).data_ptr()

    def offset(self, view: torch.Tensor) -> int | None:
        """Where a contiguous view begins in the file; None where it is a view of something else."""
        if view.device.type != "cpu":
            return None
        begin = view.data_ptr() - self._address
        return begin if 0 <= begin <= len(self.mapped) - view.nbytes else None


class Reader:
    """`dst.copy_(src)` by other means, where `src` is a view of a mapped file."""

    def __init__(self) -> None:
        self._helpers: ThreadPoolExecutor | None = None

    def copy(self, dst: torch.Tensor, src: torch.Tensor, file: OpenFile) -> None:
        """Copy all of `src`, in as many torch threads as there are."""
        for to, of in runs(dst, src):
            offset = file.offset(of) if _readable(to, of) else None
            if offset is None:
                to.copy_(of)
            else:
                self._read(file.mapped, offset, to.detach().view(-1).view(torch.uint8).numpy().data)

    def _read(self, mapped: MappedBytes, offset: int, into: memoryview) -> None:
        threads = torch.get_num_threads()
        share = max(SHARE, -(-len(into) // threads))
        first, *others = range(0, len(into), share)
        if others and self._helpers is None:
            self._helpers = ThreadPoolExecutor(threads, "reader")
        waiting = [
            self._helpers.submit(mapped.read_into, offset + begin, into[begin : begin + share])
            for begin in others if self._helpers
        ]  # fmt: skip
        try:
            mapped.read_into(offset + first, into[:share])
        finally:
            wait(waiting)
        for part in waiting:
            part.result()


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
