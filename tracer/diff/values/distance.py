"""How far two matrices are apart, in one pass over both, a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tracer.diff.compared import Distance
from tracer.diff.values.rows import Rows

Numbers = NDArray[Any]
TILE = 1 << 18
"""Elements that are looked at together: their copies in F64 stay in the processor's cache."""

ROUNDED: dict[str, Any] = {
    "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}  # fmt: skip
"""The dtypes that numbers of another one are rounded to."""

MANTISSA = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7, "F8_E4M3": 3, "F8_E5M2": 2}
"""Bits after the point, of which half a last one is what rounding may be off."""


class Measured(NamedTuple):
    """The distance, and whose numbers are exactly the other's, once rounded: `A`, `B` or nobody's."""

    distance: Distance
    rounded: str


def spans(shape: tuple[int, int], multiple: int = 1) -> Iterator[tuple[int, int]]:
    """Runs of rows of about a tile, each but the last a multiple of so many."""
    step = max(1, TILE // max(1, shape[1]))
    step = -(-step // multiple) * multiple
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def measure(a: Rows, b: Rows, multiple: int = 1) -> Measured:
    """Compare the rows that both have; they have the same columns."""
    rows = min(a.shape[0], b.shape[0])
    sums = Sums(a.dtype, b.dtype)
    for start, stop in spans((rows, a.shape[1]), multiple):
        sums.add(a.read(start, stop), b.read(start, stop))
    return Measured(sums.distance(), sums.rounded)


class Sums:
    """What is added up over the tiles."""

    def __init__(self, dtype_a: str = "", dtype_b: str = "") -> None:
        self.elements = self.differing = self.nan_a = self.nan_b = self.infinite_a = self.infinite_b = 0
        self.largest = self.aa = self.bb = self.ab = self.dd = 0.0
        self._dtypes = dtype_a, dtype_b
        differ = dtype_a != dtype_b
        self._b_rounds_a = differ and dtype_b in ROUNDED
        self._a_rounds_b = differ and dtype_a in ROUNDED

    def add(self, a: Numbers, b: Numbers) -> None:
        self.elements += a.size
        unlike = a != b
        if not np.isfinite(a).all() or not np.isfinite(b).all():
            self._add_odd(a, b, unlike)
        else:
            self._add_finite(a, b, int(np.count_nonzero(unlike)))
        if self._b_rounds_a:
            self._b_rounds_a = _same(rounded(a, self._dtypes[1]), b)
        if self._a_rounds_b:
            self._a_rounds_b = _same(rounded(b, self._dtypes[0]), a)

    def _add_odd(self, a: Numbers, b: Numbers, unlike: NDArray[np.bool_]) -> None:
        """NaN on both sides is equal; of what is infinite only counts are kept."""
        none_a, none_b = np.isnan(a), np.isnan(b)
        self.nan_a += int(np.count_nonzero(none_a & ~none_b))
        self.nan_b += int(np.count_nonzero(none_b & ~none_a))
        unlike = unlike & ~(none_a & none_b)
        infinite = (unlike & ~none_a & ~none_b) & (np.isinf(a) | np.isinf(b))
        self.largest = math.inf if infinite.any() else self.largest
        self.infinite_a += int(np.count_nonzero(np.isinf(a) & np.isfinite(b)))
        self.infinite_b += int(np.count_nonzero(np.isinf(b) & np.isfinite(a)))
        usable = np.isfinite(a) & np.isfinite(b)
        self._add_finite(np.where(usable, a, 0), np.where(usable, b, 0), int(np.count_nonzero(unlike)))

    def _add_finite(self, a: Numbers, b: Numbers, differing: int) -> None:
        wide_a = a.astype(np.float64).ravel()
        square = float(wide_a @ wide_a)
        self.aa += square
        if not differing:
            self.bb += square
            self.ab += square
            return
        self.differing += differing
        wide_b = b.astype(np.float64).ravel()
        self.bb += float(wide_b @ wide_b)
        self.ab += float(wide_a @ wide_b)
        wide_b -= wide_a
        self.dd += float(wide_b @ wide_b)
        self.largest = max(self.largest, float(np.abs(wide_b, out=wide_b).max()))

    @property
    def rounded(self) -> str:
        return "B" if self._b_rounds_a else "A" if self._a_rounds_b else ""

    def distance(self) -> Distance:
        scale = self.ab / self.aa if self.aa else math.nan
        unscaled = self.bb - self.ab * scale if self.aa else math.nan
        return Distance(
            self.elements, self.differing, self.largest, relative(self.dd, self.aa),
            self.ab / math.sqrt(self.aa * self.bb) if self.aa and self.bb else math.nan,
            scale, math.sqrt(max(unscaled, 0.0) / self.bb) if self.aa and self.bb else math.nan,
            self.nan_a, self.nan_b, self.infinite_a, self.infinite_b,
        )  # fmt: skip


def relative(square: float, of: float) -> float:
    """The square root of one sum of squares over another."""
    if not square:
        return 0.0
    return math.sqrt(square / of) if of else math.inf


def rounded(numbers: Numbers, dtype: str) -> Numbers:
    """Numbers as they come back from a dtype of fewer bits, to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        return numbers.astype(ROUNDED[dtype]).astype(np.float32)


def _same(a: Numbers, b: Numbers) -> bool:
    return bool(np.array_equal(a, b) or np.array_equal(a, b, equal_nan=True))
