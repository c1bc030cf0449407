"""Whether a change is of low rank: its singular values against the noise that rounding to the stored dtype makes.

A randomised range finder (Halko, Martinsson and Tropp 2011): the change times a thin random matrix spans its column
space; the change in that basis is small, and has its singular values. Each costs one pass over both matrices.

Noise: rounding to nearest is off by at most half a unit in the last place, evenly spread if the change is larger than
that. A random matrix with such entries has a spectral norm of about its largest row norm plus its largest column norm
(Bandeira and van Handel 2016), so what lies above is no rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracer.diff.compared import Rank
from tracer.diff.values.distance import MANTISSA, spans
from tracer.diff.values.rows import Rows

Numbers = NDArray[Any]
LARGEST_RANK = 256
_OVERSAMPLED = 1.5
"""Directions for each that is looked for: with k and p more, noise counts up to 1 + k / (p - 1) times in the residual
(Halko et al., theorem 10.5), of which three times is what rounding may be above its average.
"""
_SEED = 20_240_229
_WIDE = 8_192
"""Columns and rows that are looked at; of larger matrices an even sample of them."""
_FLAT = 0.7
"""Of the share that as many directions as are looked at have in a matrix of the largest rank: less is full rank."""
_ABOVE = 1.1
"""Of the noise: what counts as signal. Gaussian noise stays below 1."""
_LEAST_EXPONENT = {"F64": -1022, "F32": -126, "F16": -14, "BF16": -126, "F8_E4M3": -6, "F8_E5M2": -14}


class Sampled(NamedTuple):
    """Rows and columns of the change that are looked at."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64] | slice
    shape: tuple[int, int]
    whole: bool


def rank_of_change(a: Rows, b: Rows, most: int = LARGEST_RANK) -> Rank | None:
    """The rank of B - A above the noise; None for a dtype whose noise is not known, and for less than a matrix."""
    if b.dtype not in MANTISSA or min(a.shape) < 4:
        return None
    change = _Change(a, b)
    shape = change.sampled.shape
    most = min(most, min(shape) // 4)
    found = Rank(None, most, 0.0, not change.sampled.whole)
    for width in dict.fromkeys((min(most, 32), most)):
        values, noise, total, tolerated = change.singular_values(int(width * _OVERSAMPLED) + 8)
        rank = int(np.count_nonzero(values > _ABOVE * noise))
        kept = float((values[:rank] ** 2).sum())
        if rank <= width and total - kept <= tolerated and change.could_be_a_product(rank):
            return Rank(rank, most, kept / total if total else 1.0, not change.sampled.whole)
        found = Rank(None, most, float((values[:width] ** 2).sum()) / total if total else 1.0, found.sampled)
        if rank <= width or _too_flat(values, total - tolerated, most):
            break  # what is left is no rounding, and not in the strongest directions: it has no low rank
    return found


def _too_flat(values: NDArray[np.float64], energy: float, most: int) -> bool:
    """Whether so many singular values hold less than they would of any matrix of rank `most`, with a margin."""
    return float((values**2).sum()) < _FLAT * len(values) / most * energy


class _Change:
    """B - A, read again for each pass."""

    def __init__(self, a: Rows, b: Rows) -> None:
        self._a, self._b = a, b
        self.touched = 0
        """Elements that differ."""
        self.touched_rows = 0
        self.sampled = _sample((min(a.shape[0], b.shape[0]), a.shape[1]))

    def could_be_a_product(self, rank: int) -> bool:
        """A few elements have a low rank too, or a few rows that all moved alike: they are no product of factors,
        which takes fewer numbers than it changes, and changes most rows."""
        rows, columns = self.sampled.shape
        return rank * (rows + columns) < self.touched and 2 * self.touched_rows > rows

    def _pieces(self) -> Any:
        """(first and last place in the sample, B - A, B) in F64."""
        rows, columns, shape, whole = self.sampled
        for start, stop in spans(shape):
            chosen = rows[start:stop]
            low, high = int(chosen[0]), int(chosen[-1]) + 1
            a, b = self._a.read(low, high), self._b.read(low, high)
            if not whole:
                a, b = a[chosen - low][:, columns], b[chosen - low][:, columns]
            yield slice(start, stop), b.astype(np.float64) - a, b

    def singular_values(self, width: int) -> tuple[NDArray[np.float64], float, float, float]:
        """The largest, the norm of the noise, |B - A| squared, and the most of it that can be rounding."""
        rows, columns = self.sampled.shape
        width = min(width, rows, columns)
        random = np.random.default_rng(_SEED).standard_normal((columns, width))
        image = np.empty((rows, width))
        total = tolerated = widest = 0.0
        by_column = np.zeros(columns)
        self.touched = self.touched_rows = 0
        for place, change, b in self._pieces():
            image[place] = change @ random
            total += float(np.vdot(change, change))
            self.touched += int(np.count_nonzero(change))
            self.touched_rows += int(np.count_nonzero(change.any(axis=1)))
            spacing = _spacing(b, self._b.dtype) ** 2
            tolerated += float(spacing.sum()) / 4
            by_column += spacing.sum(axis=0) / 12
            widest = max(widest, float(spacing.sum(axis=1).max()) / 12)
        basis, _ = np.linalg.qr(image)
        within = np.zeros((basis.shape[1], columns))
        for place, change, _ in self._pieces():
            within += basis[place].T @ change
        values = np.linalg.svd(within, compute_uv=False)
        noise = widest**0.5 + float(by_column.max(initial=0.0)) ** 0.5
        return values.astype(np.float64), noise, total, tolerated + 1e-12 * total


def _sample(shape: tuple[int, int]) -> Sampled:
    whole = max(shape) <= _WIDE
    rows = np.unique(np.linspace(0, shape[0] - 1, min(shape[0], _WIDE)).astype(np.int64))
    columns = np.unique(np.linspace(0, shape[1] - 1, min(shape[1], _WIDE)).astype(np.int64))
    return Sampled(rows, slice(None) if whole else columns, (len(rows), len(columns)), whole)


def _spacing(numbers: Numbers, dtype: str) -> NDArray[np.float64]:
    """The unit in the last place of each number in its dtype."""
    _, exponents = np.frexp(numbers)
    exponents = np.maximum(exponents - 1, _LEAST_EXPONENT[dtype])
    return np.asarray(np.ldexp(1.0, exponents - MANTISSA[dtype]))
