"""What the statistics of a tensor are folded from, so that how it was cut into pieces changes nothing.

Counts and extremes are exact. Mean and spread are folded as Chan, Golub and LeVeque do ("Algorithms for computing the
sample variance", 1983): each piece around its own mean, in F64. A histogram counts octaves: -7 is 2**-7 <= |x| < 2**-6.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from math import ldexp
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_SQUARABLE, _POWER = 2.0**480, 600
"""The largest magnitude that is squared as it is, and what others are divided by: so many squares have a sum."""
Number = float | int
"""Of an integer dtype exact, as 64 bits do not fit a float."""
_N = TypeVar("_N", int, float, int | float)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Finite numbers other than zero, by sign and octave."""

    low: int = 0
    """The octave of the first counts: numbers of 2**low <= |x| < 2**(low + 1)."""
    negative: array[int] = field(default_factory=lambda: array("q"))
    positive: array[int] = field(default_factory=lambda: array("q"))

    @classmethod
    def of(cls, low: int, negative: Sequence[int], positive: Sequence[int]) -> Histogram:
        """Octaves at either end in which there is nothing are left out."""
        held = [i for i, both in enumerate(zip(negative, positive, strict=True)) if any(both)]
        if not held:
            return cls()
        first, last = held[0], held[-1] + 1
        return cls(low + first, array("q", negative[first:last]), array("q", positive[first:last]))

    def __add__(self, other: Histogram) -> Histogram:
        if not self.negative or not other.negative:
            return self if self.negative else other
        low = min(self.low, other.low)
        return Histogram(
            low,
            _summed(self.negative, self.low - low, other.negative, other.low - low),
            _summed(self.positive, self.low - low, other.positive, other.low - low),
        )


def _summed(one: array[int], one_at: int, other: array[int], other_at: int) -> array[int]:
    pairs = zip_longest(array("q", [0] * one_at) + one, array("q", [0] * other_at) + other, fillvalue=0)
    return array("q", (a + b for a, b in pairs))


@dataclass(frozen=True, slots=True)
class Part:
    """Of some elements of a tensor."""

    nan: int = 0
    positive_infinity: int = 0
    negative_infinity: int = 0
    finite: int = 0
    zeros: int = 0
    minimum: Number | None = None
    """Of the finite ones, as are the maximum, the mean and the spread."""
    maximum: Number | None = None
    smallest: float | None = None
    """The smallest magnitude but zero."""
    mean: float = 0.0
    spread: float = 0.0
    """The sum of the squared distances from the mean, each of them over 2**`power`."""
    histogram: Histogram = field(default_factory=Histogram)
    overflow: int = 0
    """Finite numbers that the target dtype has no finite number for."""
    underflow: int = 0
    """Numbers other than zero that become zero in the target dtype."""

    @property
    def power(self) -> int:
        """Squares of numbers as large as some of F64 are beyond all numbers."""
        return power_of(self.minimum or 0, self.maximum or 0)

    def __add__(self, other: Part) -> Part:
        finite = self.finite + other.finite
        if not self.finite or not other.finite:
            mean, spread = (self.mean, self.spread) if self.finite else (other.mean, other.spread)
        else:
            power = max(self.power, other.power)
            begin, apart = ldexp(self.mean, -power), ldexp(other.mean, -power) - ldexp(self.mean, -power)
            mean = (begin + apart * (other.finite / finite)) * 2.0**power
            own, theirs = (ldexp(each.spread, 2 * (each.power - power)) for each in (self, other))
            spread = own + theirs + apart * apart * (self.finite * (other.finite / finite))
        return Part(
            self.nan + other.nan, self.positive_infinity + other.positive_infinity,
            self.negative_infinity + other.negative_infinity, finite, self.zeros + other.zeros,
            _least(self.minimum, other.minimum), _most(self.maximum, other.maximum),
            _least(self.smallest, other.smallest), mean, spread, self.histogram + other.histogram,
            self.overflow + other.overflow, self.underflow + other.underflow,
        )  # fmt: skip


def power_of(least: Number, most: Number) -> int:
    """By what power of two numbers between these are made smaller before they are squared."""
    return _POWER if max(-least, most) > _SQUARABLE else 0


def _least(one: _N | None, other: _N | None) -> _N | None:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else max(one, other)


def octaves(magnitudes: NDArray[np.float64]) -> NDArray[np.intp]:
    """The octave of each positive finite number."""
    return np.frexp(magnitudes)[1].astype(np.intp) - 1
