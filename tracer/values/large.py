"""Large tensors of BF16, F16 and F32: what vector instructions can fold, several times faster than counting.

Of a piece whose numbers are all finite, counts and extremes are exact; sums are of 4096 numbers each in F32 and of
those in F64, so that the mean is within a millionth of the spread; the histogram is of its beginning. A piece that is
not finite, or whose mean would drown its spread, goes to the exact reader.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tracer.values.decoding import Bytes
from tracer.values.parts import Histogram, Part, octaves
from tracer.values.patterns import Counts, Patterns
from tracer.values.pieces import PIECE, cut
from tracer.values.targets import may_lose
from tracer.values.wide import Wide

LARGE = 4 << 20
"""Bytes of a tensor from which on its histogram is of a sample."""
SAMPLED = 32
"""One number in so many is in the histogram; counting costs as much as all else for four times as many."""
_ROW = 4096
_INFINITY = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F800000}
"""The pattern of infinity: what is not finite is not below it."""
_FRACTION = {"BF16": 7, "F16": 10, "F32": 23}
"""Bits below the exponent."""
_BIAS = {"BF16": 127, "F16": 15, "F32": 127}
_F16_EXPONENTS = np.float32(2.0**112)
"""Between the bias of an F32's exponent, 127, and that of an F16, 15."""
_ONES = np.ones((_ROW, 1), np.float32)
Singles = NDArray[np.float32]
Words = NDArray[np.unsignedinteger]


def suits(dtype: str, nbytes: int) -> bool:
    return dtype in _INFINITY and nbytes > LARGE


class Large:
    """Folds one tensor's pieces; `exact` takes those that need it."""

    def __init__(self, dtype: str, exact: Patterns | Wide, *, big_endian: bool, target: str | None) -> None:
        self._dtype = dtype
        self._exact = exact
        self._words = np.dtype((">" if big_endian else "<") + ("u4" if dtype == "F32" else "u2"))
        self._target = target
        self._sample = Sample(dtype)

    @property
    def first(self) -> int | None:
        """The first element that is no finite number."""
        return self._exact.first

    def fold(self, raw: Bytes, at: int, scratch: Counts) -> Part:
        """Whole elements from byte `at` of the tensor on.

        `scratch` has room for eight bytes an element of a piece, or for half of that of F32.
        """
        words = raw.view(self._words).astype(self._words.newbyteorder("="), copy=False)
        found = Part()
        for piece, (row, part) in zip(cut(raw, self._dtype), _fold(words, self._dtype, scratch), strict=True):
            if part is None or self._loses(part):
                found += self._exact.fold(piece, at, scratch)
            else:
                found += part
                self._sample.add(row[: -(-len(row) // SAMPLED)])
            at += len(piece)
        return found

    def _loses(self, part: Part) -> bool:
        if self._target is None or part.minimum is None or part.maximum is None:
            return False
        return may_lose(part.smallest or np.inf, max(-part.minimum, part.maximum), self._target)

    def rest(self) -> Part:
        """What no stretch was said to come to."""
        return Part(histogram=self._sample.histogram()) + self._exact.rest()


def _fold(words: Words, dtype: str, scratch: Counts) -> Iterator[tuple[Words, Part | None]]:
    """Each piece and what it comes to; None where a number is not finite, or sums would not be good to six digits."""
    width = PIECE // words.itemsize
    body = len(words) // width * width
    for rows in (words[:body].reshape(-1, width), words[body:].reshape(1, -1)):
        if rows.size:
            moments = _moments(rows.view(np.float32)) if dtype == "F32" else None
            for place, (row, extremes) in enumerate(zip(rows, _extremes(rows), strict=True)):
                yield row, _part(row, extremes, dtype, moments[place] if moments else None, scratch)


Extremes = tuple[int, int, int, int]
"""Of patterns: the lowest and the highest, and of the same read as signed integers."""


def _extremes(rows: Words) -> list[Extremes]:
    # A stretch at a time: what takes less time waits longer for Python's lock, which other threads take meanwhile.
    signed = rows.view(f"i{rows.itemsize}")
    found = rows.min(axis=1), rows.max(axis=1), signed.min(axis=1), signed.max(axis=1)
    return list(zip(*(each.tolist() for each in found), strict=True))


def _part(
    words: Words, extremes: Extremes, dtype: str, moments: tuple[float, float] | None, scratch: Counts
) -> Part | None:  # fmt: skip
    sign = 1 << (8 * words.itemsize - 1)
    # Patterns of one sign are in the order of their magnitudes: read as signed integers, positive ones come last.
    lowest, highest, below, above = extremes
    if above >= _INFINITY[dtype] or highest >= sign + _INFINITY[dtype]:
        return None
    # The lowest is the smallest of the positive ones if there are any, the one below all the smallest negative one.
    least, zeros = min(lowest & (sign - 1), below & (sign - 1)), 0
    if not least:
        least, zeros = _but_zeros(words, scratch)
    if zeros == len(words):
        return None
    mean, spread = moments or _moments(_singles(words, dtype, scratch).reshape(1, -1))[0]
    if mean * mean * len(words) > spread:
        return None
    patterns = np.array([highest if highest >= sign else lowest, above if above >= 0 else lowest, least], words.dtype)
    minimum, maximum, smallest = _singles(patterns, dtype, np.empty(3, np.int64)).tolist()
    return Part(
        finite=len(words), zeros=zeros, minimum=minimum, maximum=maximum, smallest=smallest, mean=mean, spread=spread,
    )  # fmt: skip


def _but_zeros(words: Words, scratch: Counts) -> tuple[int, int]:
    """The least magnitude but zero, and how many are zero."""
    half = scratch.view(words.dtype)
    magnitudes = np.bitwise_and(words, (1 << (8 * words.itemsize - 1)) - 1, out=half[len(half) // 2 :][: len(words)])
    zeros = len(words) - int(np.count_nonzero(magnitudes))
    magnitudes -= 1  # of zero it makes the largest
    return int(magnitudes.min()) + 1, zeros


class Sample:
    """The octaves of some of the numbers. Sign and exponent say those of all but zeros and subnormal numbers."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._exponents = _INFINITY[dtype] >> _FRACTION[dtype]
        self._counts = np.zeros(2 * self._exponents + 2, np.int64)
        self._tiny = Histogram()
        self._lock = threading.Lock()

    def add(self, words: Words) -> None:
        """More of them, from any thread."""
        counts = np.bincount(words >> _FRACTION[self._dtype], minlength=len(self._counts))
        tiny = Histogram()
        if counts[0] or counts[self._exponents + 1]:
            tiny = _of_subnormal(words[(words & _INFINITY[self._dtype]) == 0], self._dtype)
        with self._lock:
            self._counts += counts
            self._tiny += tiny

    def histogram(self) -> Histogram:
        """Of all that were added."""
        positive, negative = self._counts.reshape(2, -1)[:, 1:].tolist()
        return Histogram.of(1 - _BIAS[self._dtype], negative, positive) + self._tiny


def _of_subnormal(words: Words, dtype: str) -> Histogram:
    numbers = _singles(words, dtype, np.empty(len(words), np.int64)).astype(np.float64)
    above, below = (_octaves(magnitudes[magnitudes > 0]) for magnitudes in (numbers, -numbers))
    found = Histogram()
    for octave in sorted(above.keys() | below.keys()):
        found += Histogram.of(octave, [below[octave]], [above[octave]])
    return found


def _octaves(magnitudes: NDArray[np.float64]) -> Counter[int]:
    return Counter(octaves(magnitudes).tolist())


def _singles(words: Words, dtype: str, scratch: Counts) -> Singles:
    """The same finite numbers as F32, exactly; in the first half of the scratch, unless they are that already."""
    if dtype == "F32":
        return words.view(np.float32)
    singles = scratch.view(np.float32)[: len(words)]
    if dtype == "BF16":
        np.copyto(singles, words.view(ml_dtypes.bfloat16))
        return singles
    # numpy takes seven times as long: sign, exponent and fraction to their places, then the other bias.
    bits = singles.view(np.int32)
    np.copyto(bits, words.view(np.int16))
    bits <<= 13
    bits &= np.int32(-0x70002000)
    singles *= _F16_EXPONENTS
    return singles


def _moments(rows: Singles) -> list[tuple[float, float]]:
    """Of each row the mean, and the sum of the squared distances from it; a mean without end where sums have none."""
    count, length = rows.shape
    body = length // _ROW * _ROW
    parts = rows[:, :body].reshape(count, -1, 1, _ROW)
    rest = rows[:, body:].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        totals = _sums(parts @ _ONES) + rest.sum(1)
        squares = _sums(parts @ parts.reshape(count, -1, _ROW, 1)) + (rest * rest).sum(1)
        means = totals / length
        spreads = squares - means * totals
    sound = np.isfinite(spreads)
    return list(zip(np.where(sound, means, np.inf).tolist(), np.where(sound, spreads, 0.0).tolist(), strict=True))


def _sums(products: Singles) -> NDArray[np.float64]:
    return np.asarray(products.reshape(len(products), -1).sum(1, dtype=np.float64))
