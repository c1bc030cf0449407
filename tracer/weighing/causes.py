"""Why files do not weigh what they should: the few causes that explain a difference to the byte, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import isqrt, prod
from typing import NamedTuple

from mappings.bind import Binder
from mappings.names import blank
from mappings.plan import LoadPlan
from mappings.sizes import ConfigError
from tracer.weighing.books import Books, Shard
from tracer.weighing.items import Item, reshaped

WIDTHS = (1, 2, 4, 8)
"""Bytes an element that any data type has; an 8-bit one for a whole checkpoint only."""
_ROWS_AT_ONCE = 2
_USUAL_BESIDE = 64
"""What a file has beside its data over the least that it needs."""
_LARGEST = 1 << 24
"""No field of a config.json that a difference could be blamed on is larger."""


class Widths(NamedTuple):
    """Tensors of these rows are stored with another number of bytes an element."""

    rows: tuple[str, ...]
    width: int

    def more(self, books: Books, width: int) -> int:
        """Bytes by which that makes them heavier."""
        count = _elements(books.items)
        return sum(count[row] for row in self.rows) * (self.width - width)


class Field(NamedTuple):
    """Another value of one config field would make everything fit."""

    name: str
    found: int
    fits: int


def width_of_files(books: Books, declared: int) -> int:
    """Bytes an element that most files agree with; the declared number unless another one is clearly better."""
    if not books.misfits(declared):
        return declared
    fitting = {width: len(books.shards) - len(books.misfits(width)) for width in WIDTHS}
    best = max(WIDTHS, key=lambda width: fitting[width])
    clear = fitting[best] > fitting[declared] and 2 * fitting[best] > len(books.shards)
    return best if clear else declared


def width_of_total(books: Books, declared: int) -> int | None:
    """The same where only the index's total is known; None where no width gives it."""
    fitting = [width for width in (declared, *WIDTHS) if books.data(width).holds(books.total_size or 0)]
    return fitting[0] if fitting else None


def rows_of_files(books: Books, width: int, layered: bool) -> Widths | None:
    """One or two rows whose tensors, stored with another width, make every file fit.

    Without `layered` only what is often kept in F32: tensors outside the layers, and vectors.
    """
    counts = [_elements(shard.items) for shard in books.shards]
    slack = [(shard, shard.expected(width)) for shard in books.shards]
    wrong = [n for n, (shard, band) in enumerate(slack) if not band.holds(shard.size)]

    def explains(rows: Sequence[str], other: int) -> bool:
        more = [sum(own[row] for row in rows) * (other - width) for own in counts]
        return all(band.holds(shard.size - more[n]) for n, (shard, band) in enumerate(slack))

    suspects = [row for row in dict.fromkeys(row for n in wrong for row in counts[n]) if layered or "{" not in row]
    return next((found for found in _candidates(suspects, _vectors(books), width) if explains(*found)), None)


def rows_of_total(books: Books, width: int, layered: bool) -> Widths | None:
    """The same for the index's total alone."""
    count, band = _elements(books.items), books.data(width)
    assert books.total_size is not None
    for found in _candidates([row for row in count if layered or "{" not in row], _vectors(books), width):
        if band.holds(books.total_size - sum(count[row] for row in found.rows) * (found.width - width)):
            return found
    return None


def _candidates(rows: Sequence[str], vectors: tuple[str, ...], width: int) -> Iterator[Widths]:
    """Few rows before many, wider before narrower; and all vectors at once, norms in F32 being a habit of some."""
    for size in range(1, _ROWS_AT_ONCE + 1):
        for other in (w for w in (4, 8, 2) if w != width):
            yield from (Widths(chosen, other) for chosen in combinations(rows, size))
            if vectors and size == 1:
                yield Widths(vectors, other)


def _vectors(books: Books) -> tuple[str, ...]:
    rows = (item.row for item in books.items if item.standard and item.shape is not None and len(item.shape) == 1)
    return tuple(dict.fromkeys(rows))


def _elements(items: Sequence[Item]) -> Counter[str]:
    """Elements of each row that has the checkpoint's data type."""
    count: Counter[str] = Counter()
    for item in items:
        if item.standard and item.shape is not None:
            count[item.row] += prod(item.shape)
    return count


def shared_in_file(shard: Shard, width: int) -> Item | None:
    """A tensor that has a twin in its file, if both are stored once: a pickle keeps one storage for both."""
    return next((i for i in _twins(shard.items) if shard.fits(width, more=-i.nbytes(width).low)), None)


def shared_in_total(books: Books, width: int) -> Item | None:
    """A tensor that has a twin, if the total counts both once."""
    data, total = books.data(width), books.total_size or 0
    return next((i for i in _twins(books.items) if data.holds(total + i.nbytes(width).low)), None)


def _twins(items: Sequence[Item]) -> list[Item]:
    """Tensors outside the layers that have the shape of another one: embedding and head."""
    single = [item for item in items if item.standard and item.shape and len(item.shape) > 1 and "{" not in item.row]
    shapes = Counter(item.shape for item in single)
    return [item for item in single if shapes[item.shape] > 1]


class Solver:
    """Looks for the one value in config.json that makes everything fit."""

    def __init__(self, plan: LoadPlan, books: Books, width: int) -> None:
        self._binding = plan.binding
        self._templates = {blank(tensor.name)[0] for tensor in plan.tensors}
        self._books = books
        self._width = width

    def for_files(self) -> Field | None:
        """The field with which every file fits."""
        worst = max(self._books.misfits(self._width), key=lambda shard: abs(shard.surplus(self._width)))
        at = next(n for n, shard in enumerate(self._books.shards) if shard is worst)
        found = self._solve(
            lambda books: sum(i.nbytes(self._width).low for i in books.shards[at].items),
            worst.size - worst.beside.low - _USUAL_BESIDE, lambda books: not books.misfits(self._width),
        )  # fmt: skip
        # A row of a small table is less than what headers differ by; where the total is right too, it decides.
        return min(found, key=lambda field: not self._total_fits(field), default=None)

    def _total_fits(self, field: Field) -> bool:
        total = self._books.total_size
        return total is not None and self.books_with(field).data(self._width).holds(total)

    def for_total(self) -> Field | None:
        """The field with which the index's total is right to the byte."""
        total = self._books.total_size
        assert total is not None
        found = self._solve(
            lambda books: books.data(self._width).low, total, lambda books: books.data(self._width).holds(total)
        )
        return next(iter(found), None)

    def _solve(
        self, measure: Callable[[Books], float], wanted: float, fits: Callable[[Books], bool]
    ) -> list[Field]:  # fmt: skip
        found = []
        for name, stated in self._fields().items():
            for value in self._guesses(name, stated, measure, wanted):
                other = self._with(name, value)
                if other is not None and fits(other):
                    found.append(Field(name, stated, value))
        return found

    def _fields(self) -> Mapping[str, int]:
        """The config's own numbers that axes are made of."""
        config = self._binding.config.fields
        words = dict.fromkeys(word for text in self._binding.arch.axes.values() for word in text.split())
        return {word: config[word] for word in words if type(config.get(word)) is int and config[word] > 0}

    def _guesses(
        self, name: str, found: int, measure: Callable[[Books], float], wanted: float
    ) -> list[int]:  # fmt: skip
        """Where a polynomial of second degree through three legal values reaches what is wanted."""
        points: list[tuple[int, float]] = []
        for value in dict.fromkeys((found, 2 * found, 3 * found, found // 2, found // 4, 1)):
            books = self._with(name, value) if value else None
            if books is not None and len(points) < 3:
                points.append((value, measure(books)))
        return [v for v in _roots(points, wanted) if v != found and 0 < v < _LARGEST]

    def books_with(self, field: Field) -> Books:
        """The books that are right."""
        return self._with(field.name, field.fits) or self._books

    def _with(self, name: str, value: int) -> Books | None:
        """The books that this value would make; None where it cannot be meant."""
        try:
            fields = {**self._binding.config.fields, name: value}
            binding = Binder(self._binding.arch, fields, 1, self._templates).bind()
            return self._books.with_items(reshaped(self._books.items, binding))
        except ConfigError:
            return None


def _roots(points: Sequence[tuple[int, float]], wanted: float) -> list[int]:
    """Whole numbers next to where the polynomial through the points equals `wanted`."""
    if len(points) < 3:
        return []
    # Exact, since a straight line must not look bent by what rounding leaves over.
    (x0, y0), (x1, y1), (x2, y2) = ((Fraction(x), Fraction(y)) for x, y in points)
    first, second = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    a = (second - first) / (x2 - x0)
    b = first - a * (x0 + x1)
    c = y0 - b * x0 - a * x0 * x0 - Fraction(wanted)
    if not a:
        return _near(-c / b) if b else []
    under = b * b - 4 * a * c
    return _near((isqrt(int(under)) - b) / (2 * a)) if under >= 0 else []


def _near(value: Fraction) -> list[int]:
    return [round(value), round(value) - 1, round(value) + 1]
