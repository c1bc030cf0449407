"""Numbers that are known within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple


class Band(NamedTuple):
    """From `low` to `high`, both included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


EVERYTHING = Band(0, inf)


def total(bands: Iterable[Band]) -> Band:
    """Of numbers that are each known within bounds."""
    low = high = 0.0
    for band in bands:
        low, high = low + band.low, high + band.high
    return Band(low, high)
