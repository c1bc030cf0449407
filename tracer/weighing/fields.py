"""Looks for the one value in config.json that makes everything fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import inf, isqrt, prod
from typing import NamedTuple

from mappings.bind import Binder, Binding
from mappings.names import blank
from mappings.plan import LoadPlan
from mappings.sizes import ConfigError
from tracer.weighing.bands import Band
from tracer.weighing.books import Books
from tracer.weighing.items import elements_of
from tracer.weighing.scale import Reading, Scale

_LARGEST = 1 << 22
"""No field of a config.json that a difference could be blamed on is larger."""
_TRIED = 48
"""Values of one field that are weighed where the bounds allow many."""
_LARGE = 512
"""Sizes from here on are multiples of 32, but for the vocabulary."""
_LIKE = 0.05
"""The share by which a vocabulary grows with added tokens and padding."""
_NEARLY = Fraction(1, 1000)
_TIMES = 5
_TOKENS = 16
_DIGITS = 2
"""Binary digits of what is left out: 8 heads, 128 or 96 elements."""
_FACTOR = 8


class Field(NamedTuple):
    """Another value of one config field would make everything fit."""

    name: str
    found: int | None
    """None where config.json lacks it, and something else counts in its place."""
    fits: int
    table: bool = False
    """Whether it is the rows of one table, of which config.json has a single number for all."""

    @property
    def sane(self) -> bool:
        """Whether someone may have meant it."""
        if self.found is None:
            return self.fits.bit_count() <= _DIGITS and (self.fits % 2 == 0 or self.fits == 1)
        ratio = Fraction(max(self.found, self.fits), min(self.found, self.fits))
        if self.table:
            return ratio - 1 <= _LIKE
        if self.name == "vocab_size":
            return (abs(ratio - round(ratio)) <= _NEARLY and ratio < _TIMES) or ratio - 1 <= _LIKE
        even = self.fits % (32 if self.found >= _LARGE else 2) == 0
        return ratio <= _FACTOR and (even or self.fits == 1 or (self.found % 2 == 1 and self.found < _LARGE))

    @property
    def likely(self) -> bool:
        """Whether it is a rival to something harmless: vocabularies grow by a few tokens, or to a round number."""
        if self.table:
            return False
        found = self.found or 0
        few = abs(self.fits - found) <= _TOKENS
        return self.name != "vocab_size" or few or self.fits % 64 == 0 or self.fits == 2 * found


class Solver:
    """Weighs with other values, one field at a time."""

    def __init__(self, plan: LoadPlan, books: Books) -> None:
        self._binding = plan.binding
        self._templates = {blank(tensor.name)[0] for tensor in plan.tensors}
        self._books = books
        self._scales: dict[tuple[str, int], Scale | None] = {}

    def solve(self, bases: Sequence[Reading], files: bool, total: bool) -> list[Field]:
        """The fields with which every file fits, or the total, or both; the likeliest first."""
        found = []
        for name, stated in self._fields().items():
            guesses = dict.fromkeys(v for base in bases for v in self._guesses(name, stated, base, total))
            fields = [Field(name, stated, value) for value in guesses]
            fitting = [f for f in fields if f.sane and self._fits(name, f.fits, bases[0].width, files, total)]
            found += sorted(fitting, key=_roundest)[:1]
        return sorted(found, key=_likeliest)

    def scale(self, field: Field) -> Scale | None:
        """The scale that is right; None for a table."""
        return None if field.table else self._with(field.name, field.fits)

    def resized(self, reading: Reading) -> list[Field]:
        """The one of several tables that has some rows more or less, as the total tells to the byte."""
        room = reading.totals[0]
        tables = [item for item in self._books.items if item.lot.habit == "table" and item.lot.shape]
        if room.low in (0, -inf) or len(tables) < 2:
            return []
        found = []
        for item, shape in ((item, item.lot.shape) for item in tables if item.lot.shape):
            rows, rest = divmod(int(room.low), prod(shape[1:]) * reading.width)
            at, sums = self._books.places.get(item.name), [0] * len(reading.expected)
            for n in {at, len(sums) - 1} - {None}:
                sums[n or 0] = int(room.low)
            if at is not None and not rest and reading.fits(sums):
                found.append(Field(item.name, shape[0], shape[0] + rows, table=True))
        return [field for field in found if field.sane]

    def _fits(self, name: str, value: int, width: int, files: bool, total: bool) -> bool:
        scale = self._with(name, value)
        if scale is None:
            return False
        nothing = [0] * len(self._books.counts)
        return any(
            (not files or r.files_fit(nothing)) and (not total or r.total_proves(nothing))
            for r in scale.readings(width)
        )

    def _fields(self) -> Mapping[str, int | None]:
        """The numbers that axes are made of, but for those that names prove: whose axis is spelled in names."""
        arch, config = self._binding.arch, self._binding.config.fields
        spelled = {axis for row in self._binding.rows for axis in row.pattern.axes}
        proven = {word for axis, text in arch.axes.items() if axis in spelled for word in text.split()}
        words = dict.fromkeys(word for text in arch.axes.values() for word in text.split())
        names = [word for word in words if word.isidentifier() and word != "ceil" and word not in proven]
        found = {name: config.get(name) for name in names if name != arch.layers}
        return {name: value if type(value) is int and value > 0 else None for name, value in found.items()
                if value is None or (type(value) is int and value > 0)}  # fmt: skip

    def _guesses(self, name: str, stated: int | None, base: Reading, total: bool) -> Iterator[int]:
        """Where a polynomial of second degree through three legal values comes to what is wanted."""
        at, room = _witness(base, total)
        points: list[tuple[int, int]] = []
        for value in _samples(stated):
            if len(points) < 3 and (scale := self._with(name, value)) is not None:
                points.append((value, scale.readings(base.width)[base.choice].expected[at]))
        low, high = base.expected[at] + room.low, base.expected[at] + room.high
        values = [*_between(points, low, high), *_multiples(stated)]
        yield from (v for v in dict.fromkeys(values) if v != stated and 0 < v < _LARGEST)

    def _with(self, name: str, value: int) -> Scale | None:
        """What this value would make of it; None where it cannot be meant."""
        if (name, value) not in self._scales:
            self._scales[name, value] = self._bound(name, value)
        return self._scales[name, value]

    def _bound(self, name: str, value: int) -> Scale | None:
        fields = {**self._binding.config.fields, name: value}
        try:
            return Scale(self._books, _elements(Binder(self._binding.arch, fields, 1, self._templates).bind()))
        except ConfigError:
            return None


def _elements(binding: Binding) -> dict[str, int]:
    found = {row.id: prod(row.shape) for row in binding.rows}
    found |= {t.name: prod(leaf.whole_shape()) for t in binding.ties if (leaf := binding.leaf(t.to))}
    return found | {skip.name: n for skip, _ in binding.skips if (n := elements_of(binding, skip))}


def _witness(base: Reading, total: bool) -> tuple[int, Band]:
    """What the value is told from: the total where it tells, being exact; else the file that is off the most."""
    if total and base.totals[0].low != -inf:
        return len(base.expected) - 1, base.totals[0]
    at = max(base.misfits(), key=lambda n: abs(base.surplus(n)), default=None)
    return (at, base.rooms[at]) if at is not None else (0, Band(-inf, inf))


def _samples(stated: int | None) -> Iterator[int]:
    if stated is not None:
        yield from dict.fromkeys(v for v in (stated, 2 * stated, 3 * stated, stated // 2, stated // 4, 1) if v)
    else:
        yield from (1 << n for n in range(17))


def _multiples(stated: int | None) -> list[int]:
    """What is tried besides, since a quotient of two fields is no polynomial."""
    if stated is None:
        return [1 << n for n in range(10)]
    return [stated * n for n in (2, 3, 4, 8)] + [stated // n for n in (2, 3, 4, 8) if stated % n == 0]


def _between(points: Sequence[tuple[int, int]], low: float, high: float) -> list[int]:
    """Whole numbers with which the polynomial through the points lies between the bounds; of many the roundest."""
    if len(points) < 3 or inf in (abs(low), abs(high)):
        return []
    ends = [_root(points, int(low)), _root(points, int(high))]
    if None in ends:
        return []
    first, last = sorted(int(end) for end in ends if end is not None)
    step = 1
    while (last - first) // step > _TRIED:
        step *= 2
    start = (first - 1) // step * step
    return list(range(start, last + 2 * step, step))


def _root(points: Sequence[tuple[int, int]], wanted: int) -> int | None:
    """Where the polynomial through the points equals `wanted`, rounded down."""
    # Exact, since a straight line must not look bent by what rounding leaves over.
    (x0, y0), (x1, y1), (x2, y2) = ((Fraction(x), Fraction(y)) for x, y in points)
    first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    a = (second - first) / (x2 - x0)
    b = first - a * (x0 + x1)
    c = y0 - b * x0 - a * x0 * x0 - wanted
    if not a:
        return int(-c / b) if b else None
    under = b * b - 4 * a * c
    return int((isqrt(int(under)) - b) / (2 * a)) if under >= 0 else None


def _likeliest(field: Field) -> tuple[bool, int, bool]:
    """Of several, numbers of few binary digits first: what people choose; then what was left out."""
    return field.name == "vocab_size", field.fits.bit_count(), field.found is not None


def _roundest(field: Field) -> tuple[int, int]:
    """Tables are padded to multiples of powers of two."""
    return -min(field.fits & -field.fits, 64), field.fits.bit_count()
