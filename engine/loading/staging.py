"""Copies to a GPU by way of pinned memory: while one piece is on its way, the next is brought there.

Out of a mapped file a GPU cannot read by itself: CUDA copies such memory into its own pinned buffers first, in one
thread, and lets the caller wait for all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

ROOM = 32 << 20
"""Bytes of each of two buffers: of a file in the page cache, some milliseconds' work on either side."""
APART = 512
"""Bytes that pieces in a buffer begin at multiples of: any element fits there, and a GPU's transfers like it."""

Fill: TypeAlias = Callable[[Tensor, Tensor], object]
"""`staged.copy_(src)`, on the CPU, the way that suits the source."""
LOG = logging.getLogger(__name__)


class Wire(Protocol):
    """The way to a device, on which things go in order."""

    def buffer(self, nbytes: int) -> Tensor:
        """(nbytes,) uint8, in memory that can be sent from."""

    def send(self, dst: Tensor, staged: Tensor) -> None:
        """`dst.copy_(staged)`, some time from now: `staged` must stay as it is until then."""

    def mark(self) -> Callable[[], None]:
        """What waits, when called, until all has arrived that has been sent before now."""


class CudaWire:
    """A stream beside that on which a GPU computes."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        # Memory that is a parameter's now may still be in use for what it was before.
        self._stream.wait_stream(torch.cuda.current_stream(device))

    def buffer(self, nbytes: int) -> Tensor:
        return pinned(nbytes)

    def send(self, dst: Tensor, staged: Tensor) -> None:
        with torch.cuda.stream(self._stream):
            dst.copy_(staged, non_blocking=True)

    def mark(self) -> Callable[[], None]:
        return self._stream.record_event().synchronize


def pinned(nbytes: int) -> Tensor:
    """(nbytes,) uint8 in pinned memory. Where the system does not let so much be pinned, in other memory, from which
    CUDA copies in its own time: all that is sent is as it would be, only slower.
    """  # fmt: skip
    try:
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        _tell(str(error).strip().partition("\n")[0])
        return torch.empty(nbytes, dtype=torch.uint8)


@cache
def _tell(why: str) -> None:
    """Once in a process."""
    LOG.warning("copies to the GPU go without pinned memory: %s", why)


class Staging:
    """Fills one buffer with pieces and sends them, while what was sent from the other arrives."""

    def __init__(self, wire: Wire, room: int = ROOM) -> None:
        self._wire = wire
        self._room = room
        self._here, self._other = wire.buffer(room), wire.buffer(room)
        self._used = 0
        self._arrived: Callable[[], None] = _at_once
        """Waits for what was sent from the other buffer."""

    def copy(self, dst: Tensor, src: Tensor, fill: Fill) -> None:
        """`dst.copy_(src)`, which is done when `settle` has been called; `src` may be forgotten at once.

        Where the types differ the CPU converts, so a GPU holds what a CPU would.
        """
        for to, of in pieces(dst, src.expand(dst.shape), self._room // dst.itemsize):
            staged = self._take(to.nbytes).view(to.dtype).view(to.shape)
            fill(staged, of)
            self._wire.send(to, staged)

    def settle(self) -> None:
        """Wait until all has arrived."""
        self._wire.mark()()
        self._arrived = _at_once

    def _take(self, nbytes: int) -> Tensor:
        """Bytes that nothing is being sent from."""
        begin = -(-self._used // APART) * APART
        if begin + nbytes > self._room:
            begin = 0
            self._turn()
        self._used = begin + nbytes
        return self._here[begin : begin + nbytes]

    def _turn(self) -> None:
        """Go on in the other buffer, as soon as it is free."""
        self._arrived()
        self._arrived = self._wire.mark()
        self._here, self._other = self._other, self._here


def _at_once() -> None:
    """Nothing has been sent."""


def pieces(dst: Tensor, src: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A copy between tensors of one shape, taken apart along its outer dimensions: at most `most` elements each."""
    if dst.numel() <= most:
        if dst.numel():
            yield dst, src
        return
    inner = dst[0].numel()
    rows = max(1, most // inner)
    for pair in zip(dst.split(rows), src.split(rows), strict=True):
        yield from [pair] if inner <= most else pieces(pair[0][0], pair[1][0], most)
