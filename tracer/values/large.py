"""Large tensors of BF16, F16 and F32: what vector instructions can fold, several times faster than counting.

Of a piece whose numbers are all finite, counts and extremes are exact; sums are of 4096 numbers each in F32 and of
those in F64, so that the mean is within a millionth of the spread; the histogram is of its beginning. A piece that is
not finite, or whose mean would drown its spread, goes to the exact reader.
"""

from __future__ import annotations

from collections import Counter

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tracer.values.decoding import Bytes
from tracer.values.parts import Histogram, Part, octaves
from tracer.values.patterns import Counts, Patterns
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

    def __init__(
        self, dtype: str, exact: Patterns | Wide, *, big_endian: bool, target: str | None, scratch: Counts
    ) -> None:
        """`scratch` has room for eight bytes an element of the longest piece, or for half of that of F32."""
        self._dtype = dtype
        self._exact = exact
        self._words = np.dtype((">" if big_endian else "<") + ("u4" if dtype == "F32" else "u2"))
        self._target = target
        self._scratch = scratch
        self._folded = Part()

    @property
    def first(self) -> int | None:
        """The first element that is no finite number."""
        return self._exact.first

    def add(self, raw: Bytes) -> None:
        """The next piece: whole elements."""
        words = raw.view(self._words).astype(self._words.newbyteorder("="), copy=False)
        part = _fold(words, self._dtype, self._scratch)
        if part is None or self._loses(part):
            self._exact.add(raw)
        else:
            self._folded += part
            self._exact.seen += len(raw) // self._words.itemsize

    def _loses(self, part: Part) -> bool:
        if self._target is None or part.minimum is None or part.maximum is None:
            return False
        return may_lose(part.smallest or np.inf, max(-part.minimum, part.maximum), self._target)

    def part(self) -> Part:
        """Of everything that was added."""
        return self._folded + self._exact.part()


def _fold(words: Words, dtype: str, scratch: Counts) -> Part | None:
    """None where some number is not finite, or the sums would not be good to six digits."""
    sign = 1 << (8 * words.itemsize - 1)
    # Patterns of one sign are in the order of their magnitudes: read as signed integers, positive ones come last.
    lowest, highest = int(words.min()), int(words.max())
    above = int(words.view(f"i{words.itemsize}").max())
    if above >= _INFINITY[dtype] or highest >= sign + _INFINITY[dtype]:
        return None
    half = scratch.view(words.dtype)
    magnitudes = np.bitwise_and(words, sign - 1, out=half[len(half) // 2 :][: len(words)])
    least = int(magnitudes.min())
    zeros = 0 if least else len(words) - int(np.count_nonzero(magnitudes))
    if zeros == len(words):
        return None
    if zeros:
        magnitudes -= 1  # of zero it makes the largest
        least = int(magnitudes.min()) + 1
    mean, spread = _moments(_singles(words, dtype, scratch))
    if mean * mean * len(words) > spread:
        return None
    patterns = np.array([highest if highest >= sign else lowest, above if above >= 0 else lowest, least], words.dtype)
    minimum, maximum, smallest = _singles(patterns, dtype, np.empty(3, np.int64)).tolist()
    return Part(
        finite=len(words), zeros=zeros, minimum=minimum, maximum=maximum, smallest=smallest, mean=mean, spread=spread,
        histogram=_histogram(words[: -(-len(words) // SAMPLED)], dtype),
    )  # fmt: skip


def _histogram(words: Words, dtype: str) -> Histogram:
    """Sign and exponent say the octave of all but zeros and subnormal numbers; those are looked at one by one."""
    exponents = _INFINITY[dtype] >> _FRACTION[dtype]
    counts = np.bincount(words >> _FRACTION[dtype], minlength=2 * exponents + 2).reshape(2, exponents + 1)
    tiny = words[(words & _INFINITY[dtype]) == 0] if counts[:, 0].any() else words[:0]
    positive, negative = counts[:, 1:].tolist()
    return Histogram.of(1 - _BIAS[dtype], negative, positive) + _of_subnormal(tiny, dtype)


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


def _moments(numbers: Singles) -> tuple[float, float]:
    """The mean, and the sum of the squared distances from it; a mean without end where the sums have none."""
    body = len(numbers) // _ROW * _ROW
    rows = numbers[:body].reshape(-1, 1, _ROW)
    rest = numbers[body:].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float((rows @ _ONES).sum(dtype=np.float64) + rest.sum())
        squares = float((rows @ rows.reshape(-1, _ROW, 1)).sum(dtype=np.float64) + (rest * rest).sum())
    mean = total / len(numbers)
    spread = squares - mean * total
    return (mean, spread) if np.isfinite(spread) else (np.inf, 0.0)
