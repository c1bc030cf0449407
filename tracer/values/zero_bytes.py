"""Runs of zero bytes, whatever they stand for: what a download leaves where it reserved space and never wrote."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

PAGE = 4096
"""Bytes. Shorter runs inside of a tensor are not looked for: no file system and no download works in less."""
_EVERY = 256
"""One word in so many is looked at first: a run of a page cannot lie between two of them."""


@dataclass(frozen=True, slots=True)
class ZeroBytes:
    """Where the zero bytes of a stretch are."""

    nbytes: int = 0
    """Of the stretch."""
    leading: int = 0
    trailing: int = 0
    start: int = 0
    """Where the longest run begins; the first of several."""
    longest: int = 0
    """Bytes of it. One of less than a page may be missed, so that `settled` leaves it out."""

    @property
    def everything(self) -> bool:
        return self.leading == self.nbytes > 0

    def __add__(self, other: ZeroBytes) -> ZeroBytes:
        """Of this stretch and the one behind it."""
        joint = (self.nbytes - self.trailing, self.trailing + other.leading)
        runs = [(self.start, self.longest), joint, (self.nbytes + other.start, other.longest)]
        start, longest = max(runs, key=lambda run: (run[1], -run[0]))
        leading = self.nbytes + other.leading if self.leading == self.nbytes else self.leading
        trailing = other.nbytes + self.trailing if other.trailing == other.nbytes else other.trailing
        return ZeroBytes(self.nbytes + other.nbytes, leading, trailing, start, longest)

    def settled(self) -> ZeroBytes:
        """The same, however it was put together."""
        return self if self.longest >= PAGE else replace(self, start=0, longest=0)


def zero_bytes(raw: NDArray[np.uint8]) -> ZeroBytes:
    """Of one piece: exact at its two ends, and for runs of a page and more."""
    body = len(raw) - len(raw) % 8
    words = raw[:body].view(np.uint64)
    if len(raw) and raw[0] and raw[-1] and (words[::_EVERY] != 0).all():
        return ZeroBytes(len(raw))
    return _in_words(raw[:body], words) + _found(np.flatnonzero(raw[body:]), len(raw) - body)


def _in_words(raw: NDArray[np.uint8], words: NDArray[np.uint64]) -> ZeroBytes:
    """Eight bytes at a time, then to the byte at both ends of what may be the longest run, and of the whole."""
    occupied = np.flatnonzero(words)
    if not len(occupied):
        return ZeroBytes(len(raw), len(raw), len(raw), 0, len(raw))
    edges = np.concatenate(([-1], occupied, [len(words)]))
    gaps = np.diff(edges) - 1
    leading = _forward(raw, int(gaps[0]) * 8)
    trailing = len(raw) - _back(raw, len(raw) - int(gaps[-1]) * 8)
    # What is left of the words on either side may make a run that is shorter by a word the longest.
    wide = np.flatnonzero(gaps >= gaps.max() - 1) if gaps.max() * 8 + 14 >= PAGE else ()
    runs = [(_back(raw, int(edges[i] + 1) * 8), _forward(raw, int(edges[i + 1]) * 8)) for i in wide]
    start, stop = max(runs, key=lambda run: (run[1] - run[0], -run[0]), default=(0, 0))
    return ZeroBytes(len(raw), leading, trailing, start, stop - start)


def _found(occupied: NDArray[np.intp], length: int) -> ZeroBytes:
    """From the positions of what is not zero, in whatever is counted."""
    if not len(occupied):
        return ZeroBytes(length, length, length, 0, length)
    edges = np.concatenate(([-1], occupied, [length]))
    gaps = np.diff(edges) - 1
    widest = int(gaps.argmax())
    return ZeroBytes(length, int(gaps[0]), int(gaps[-1]), int(edges[widest]) + 1, int(gaps[widest]))


def _forward(raw: NDArray[np.uint8], at: int) -> int:
    """The first byte from `at` on that is not zero, no further than the next word's."""
    while at < len(raw) and not raw[at]:
        at += 1
    return at


def _back(raw: NDArray[np.uint8], at: int) -> int:
    """Behind the last byte before `at` that is not zero."""
    while at > 0 and not raw[at - 1]:
        at -= 1
    return at
