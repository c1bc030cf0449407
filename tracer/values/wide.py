"""Elements of four bytes and more, and blocks: counted as F64, a piece at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracer.values.decoding import Bytes, Numbers, decode
from tracer.values.parts import Histogram, Part, octaves, power_of
from tracer.values.pieces import cut
from tracer.values.targets import lost, may_lose

_FRACTION = 52
"""Bits of an F64 below its exponent."""
_BIAS = 1023
_EXPONENTS = 2048
Doubles = NDArray[np.float64]


class Wide:
    """Folds one tensor's stretches, in any order. Complex numbers count as two: the real and the imaginary part."""

    def __init__(self, dtype: str, *, big_endian: bool, target: str | None) -> None:
        self._dtype = dtype
        self._big_endian = big_endian
        self._target = target
        self._least: float | None = None
        """The smallest magnitude but zero of those that are known."""
        self._firsts: list[int] = []
        """Elements that are no finite number: the first of each piece that has one."""

    @property
    def first(self) -> int | None:
        """The first element that is no finite number."""
        return min(self._firsts, default=None)

    def fold(self, raw: Bytes, at: int, scratch: NDArray[np.int64]) -> Part:
        """Whole elements or whole blocks, from byte `at` of the tensor on."""
        found = Part()
        for piece in cut(raw, self._dtype):
            found += self._of_piece(piece, at)
            at += len(piece)
        return found

    def rest(self) -> Part:
        """What no stretch was said to come to: nothing."""
        return Part()

    def _of_piece(self, raw: Bytes, at: int) -> Part:
        numbers = decode(raw, self._dtype, big_endian=self._big_endian)
        assert numbers is not None
        if numbers.dtype.kind == "c":
            numbers = numbers.view(np.float32)
        with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
            doubles = numbers.astype(np.float64, copy=False)
        counts = _by_exponent(doubles)
        part = Part()
        if counts[:, -1].any():
            sound = np.isfinite(doubles)
            self._firsts.append(at * len(doubles) // len(raw) + int(sound.argmin()))
            part = _nonfinite(doubles)
            numbers, doubles = numbers[sound], doubles[sound]
        return part + self._finite(numbers, doubles, counts) if len(doubles) else part

    def _finite(self, numbers: Numbers, doubles: Doubles, counts: NDArray[np.int64]) -> Part:
        zeros = len(doubles) - int(np.count_nonzero(doubles))
        histogram = _histogram(doubles, counts, zeros)
        smallest = self._smallest(doubles, histogram)
        exact = int if numbers.dtype.kind in "iu" else float
        least, most = exact(numbers.min()), exact(numbers.max())
        overflow, underflow = 0, 0
        if self._target and may_lose(smallest or np.inf, max(-least, most), self._target):
            overflow, underflow = (int(np.count_nonzero(gone)) for gone in lost(doubles, self._target))
        with np.errstate(over="ignore", invalid="ignore"):
            power = power_of(least, most)
            scaled = np.ldexp(doubles, -power) if power else doubles
            mean = float(scaled.mean())
            apart = scaled - mean
            spread = float(np.square(apart, out=apart).sum())
        return Part(
            finite=len(doubles), zeros=zeros, minimum=least, maximum=most, smallest=smallest,
            mean=mean * 2.0**power, spread=spread, histogram=histogram, overflow=overflow, underflow=underflow,
        )  # fmt: skip

    def _smallest(self, doubles: Doubles, histogram: Histogram) -> float | None:
        """The smallest magnitude but zero, looked for only where its octave may hold one smaller than is known."""
        known = self._least
        if not histogram.negative or (known is not None and known <= np.ldexp(1.0, histogram.low)):
            return known
        magnitudes = np.abs(doubles)
        least = float(magnitudes.min(where=magnitudes > 0, initial=np.inf))
        self._least = least if known is None else min(known, least)
        return least


def _by_exponent(doubles: Doubles) -> NDArray[np.int64]:
    """Shape (2, 2048): positive and negative numbers by the exponent field, the last for what is not finite."""
    fields = (doubles.view(np.uint64) >> _FRACTION).view(np.int64)
    return np.bincount(fields, minlength=2 * _EXPONENTS).reshape(2, _EXPONENTS)


def _nonfinite(doubles: Doubles) -> Part:
    nan, above, below = (int(np.count_nonzero(which(doubles))) for which in (np.isnan, np.isposinf, np.isneginf))
    return Part(nan, above, below)


def _histogram(doubles: Doubles, counts: NDArray[np.int64], zeros: int) -> Histogram:
    """The field says the octave of all but zeros and the numbers below 2**-1022."""
    held = np.flatnonzero(counts[:, 1:-1].any(0)) + 1
    low, high = (int(held[0]), int(held[-1]) + 1) if len(held) else (1, 1)
    positive, negative = counts[:, low:high].tolist()
    found = Histogram.of(low - _BIAS, negative, positive)
    if counts[:, 0].sum() > zeros:
        tiny = doubles[(np.abs(doubles) < np.ldexp(1.0, 1 - _BIAS)) & (doubles != 0)]
        for octave in np.unique(octaves(np.abs(tiny))).tolist():
            here = tiny[octaves(np.abs(tiny)) == octave]
            below = int(np.count_nonzero(here < 0))
            found += Histogram.of(octave, [below], [len(here) - below])
    return found
