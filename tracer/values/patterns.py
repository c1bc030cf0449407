"""Elements of one or two bytes: how often each pattern occurs says everything, exactly, in one pass.

A byte has 256 patterns and two bytes have 65,536, so that counting them is all that is done for each element; what
the patterns mean is looked up once a tensor. Bytes are counted in pairs, which halves the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tracer.checkpoint.dtypes import BITS
from tracer.values.decoding import Bytes, is_float, table
from tracer.values.parts import Histogram, Number, Part, octaves
from tracer.values.pieces import cut
from tracer.values.targets import lost

_PAIRS = 1 << 16
Counts = NDArray[np.int64]


class Patterns:
    """Counts the patterns of one tensor's pieces."""

    def __init__(self, dtype: str, *, big_endian: bool, target: str | None) -> None:
        values = table(dtype)
        assert values is not None
        self._dtype = dtype
        self._values = values
        self._words = np.dtype(">u2" if big_endian else "<u2")
        self._target = target
        self._is_whole = not is_float(dtype)
        self._counts: Counts | None = None
        self._lock = threading.Lock()
        self.first: int | None = None
        """The first element that is no finite number."""

    def fold(self, raw: Bytes, at: int, scratch: Counts) -> Part:
        """Count whole elements from byte `at` of the tensor on, which comes to nothing by itself.

        `scratch` has room for the pairs of bytes of a piece.
        """
        for piece in cut(raw, self._dtype):
            self._count(piece, at, scratch)
            at += len(piece)
        return Part()

    def _count(self, raw: Bytes, at: int, scratch: Counts) -> None:
        counts = self._of_words(raw, scratch) if len(self._values) == _PAIRS else self._of_bytes(raw, scratch)
        first = self._first(raw, at) if counts[_nonfinite(self._dtype)].any() else None
        with self._lock:
            if self._counts is None:
                self._counts = counts
            else:
                self._counts += counts
            if first is not None:
                self.first = first if self.first is None else min(first, self.first)

    def _first(self, raw: Bytes, at: int) -> int:
        wrong = ~np.isfinite(self._values[self._patterns(raw)])
        return at * 8 // BITS[self._dtype] + int(wrong.argmax())

    def _of_words(self, raw: Bytes, scratch: Counts) -> Counts:
        numbers = scratch[: len(raw) // 2]
        np.copyto(numbers, raw[: len(numbers) * 2].view(self._words))
        return np.bincount(numbers, minlength=_PAIRS)

    def _of_bytes(self, raw: Bytes, scratch: Counts) -> Counts:
        counts: Counts
        if len(raw) < _PAIRS:
            counts = np.bincount(raw, minlength=256)
        else:
            pairs = self._of_words(raw, scratch).reshape(256, 256)
            counts = pairs.sum(0) + pairs.sum(1)
            if len(raw) % 2:
                counts[raw[-1]] += 1
        if len(self._values) == 256:
            return counts
        halves = counts.reshape(16, 16)
        return np.asarray(halves.sum(0) + halves.sum(1))

    def _patterns(self, raw: Bytes) -> NDArray[np.unsignedinteger]:
        return raw.view(self._words) if len(self._values) == _PAIRS else raw

    def rest(self) -> Part:
        """Of everything that was counted."""
        if self._counts is None:
            return Part()
        occupied = np.flatnonzero(self._counts)
        values, counts = self._values[occupied], self._counts[occupied]
        overflow, underflow = (0, 0)
        if self._target:
            overflow, underflow = (int(counts[gone[occupied]].sum()) for gone in _lost(self._dtype, self._target))
        sound = np.isfinite(values)
        part = _finite(values[sound], counts[sound], int if self._is_whole else float)
        return replace(
            part, nan=int(counts[np.isnan(values)].sum()), positive_infinity=int(counts[np.isposinf(values)].sum()),
            negative_infinity=int(counts[np.isneginf(values)].sum()), overflow=overflow, underflow=underflow,
        )  # fmt: skip


def _finite(values: NDArray[np.float64], counts: Counts, exact: Callable[[float], Number]) -> Part:
    """Of finite values and how often each occurs."""
    if not len(values):
        return Part()
    finite = int(counts.sum())
    mean = float((values * counts).sum() / finite)
    magnitudes = np.abs(values[values != 0])
    return Part(
        finite=finite, zeros=int(counts[values == 0].sum()), minimum=exact(values.min()), maximum=exact(values.max()),
        smallest=float(magnitudes.min()) if len(magnitudes) else None, mean=mean,
        spread=float((counts * (values - mean) ** 2).sum()), histogram=_histogram(values, counts),
    )  # fmt: skip


def _histogram(values: NDArray[np.float64], counts: Counts) -> Histogram:
    held = values != 0
    values, counts = values[held], counts[held]
    if not len(values):
        return Histogram()
    places = octaves(np.abs(values))
    low = int(places.min())
    both = np.zeros((2, int(places.max()) - low + 1), np.int64)
    np.add.at(both, (np.where(values < 0, 0, 1), places - low), counts)
    return Histogram.of(low, *both.tolist())


@cache
def _nonfinite(dtype: str) -> NDArray[np.intp]:
    """The patterns that stand for no finite number."""
    values = table(dtype)
    assert values is not None
    return np.flatnonzero(~np.isfinite(values))


@cache
def _lost(dtype: str, target: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which patterns overflow in the target, and which become zero."""
    values = table(dtype)
    assert values is not None
    return lost(values, target)
