"""Harmless reasons for files to weigh more than the rows say: tensors in another data type, or one storage for two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tracer.weighing.books import Books
from tracer.weighing.items import Item, Lot

WIDE = 4
"""Bytes an element of what is kept more precise than the rest. Nobody keeps single rows less precise, or in 8."""


@dataclass(frozen=True)
class Cause:
    """Tensors that have another width than the rest, or are stored once under two names."""

    width: int
    """Of the rest."""
    names: tuple[str, ...]
    """The tensors, or of many the rows."""
    tensors: int
    more: tuple[int, ...]
    """Bytes that it adds to each file, and last to all."""
    habit: bool = False
    """Whether publishers are known to do so."""
    doubled: bool = False
    """Whether it is tables alone: more rows of them would weigh the same."""
    shared: bool = False


def habits(books: Books, width: int) -> Iterator[Cause]:
    """What is kept in F32 together: any of tables, norms, biases, vectors and small weights; few before many."""
    lots = [lot for lot in books.lots.values() if lot.standard]
    groups = [[lot] for lot in lots if lot.habit == "table"]
    groups += [
        own for habit in ("norm", "bias", "vector", "small") if (own := [lot for lot in lots if lot.habit == habit])
    ]
    for size in range(1, len(groups) + 1):
        for chosen in combinations(groups, size):
            own = [lot for group in chosen for lot in group]
            tables = all(lot.habit == "table" for lot in own)
            yield _wide(books, own, width, habit=True, doubled=tables)


def rows(books: Books, width: int, together: int) -> Iterator[Cause]:
    """All tensors of one row, or of two."""
    lots = [lot for lot in books.lots.values() if lot.standard]
    for chosen in combinations(lots, together):
        vector = len(chosen[0].shape or ()) == 1
        habit = chosen[0].habit != "projection" and (vector or "{" in chosen[0].key)
        yield _wide(books, chosen, width, habit and together == 1)


def layers(books: Books, width: int) -> Iterator[Cause]:
    """All of one layer."""
    own: dict[int, list[Item]] = {}
    for item in books.items:
        if item.layer is not None and item.lot.standard and not item.real:
            own.setdefault(item.layer, []).append(item)
    for items in own.values():
        yield _of_items(books, items, width)


def tensors(books: Books, width: int, files: Iterable[int]) -> Iterator[Cause]:
    """One tensor of one of the files, one of each row in each file."""
    for n in files:
        alike = {item.lot.key: item for item in books.shards[n].items if item.lot.standard and not item.real}
        for item in alike.values():
            yield _of_items(books, [item], width)


def whole_files(books: Books, width: int, files: Sequence[int]) -> Iterator[Cause]:
    """All of the files that are not right: an upload of two conversions."""
    items = [item for n in files for item in books.shards[n].items if item.lot.standard and not item.real]
    if items and len(files) < len(books.shards):
        yield _of_items(books, items, width)


def shared(books: Books, width: int) -> Iterator[Cause]:
    """Two tables that are one storage: in a pickle it is there once, and a total may count it once or twice."""
    if not books.shares:
        return
    single = [item for item in books.items if item.lot.standard and item.lot.habit == "table" and item.lot.shape]
    shapes = Counter(item.lot.shape for item in single)
    for item in (item for item in single if shapes[item.lot.shape] > 1):
        less = -item.lot.elements * width
        once = [*_placed(books, [item], less)]
        for total in (less, 0) if any(once[:-1]) else (less,):
            yield Cause(width, (item.name,), 1, (*once[:-1], total), shared=True)


def _wide(books: Books, lots: Sequence[Lot], width: int, habit: bool, doubled: bool = False) -> Cause:
    more = books.heavier({lot.key: lot.elements * (WIDE - width) for lot in lots})
    keys = {lot.key for lot in lots}
    single = {item.lot.key: item.name for item in books.items if item.lot.key in keys and item.layer is None}
    names = tuple(single.get(lot.key) or row_name(lot) for lot in lots)
    count = sum(books.counts[-1][key] for key in keys)
    return Cause(width, names, count, tuple(more), habit, doubled)


def _of_items(books: Books, items: Sequence[Item], width: int) -> Cause:
    elements = _placed(books, items, 1, by_elements=True)
    more = tuple(n * (WIDE - width) for n in elements)
    return Cause(width, tuple(item.name for item in items), len(items), more)


def _placed(books: Books, items: Sequence[Item], each: int, by_elements: bool = False) -> list[int]:
    """A number for each item, or its elements, added up: in each file, and last in all."""
    sums = [0] * len(books.counts)
    for item in items:
        own = item.lot.elements if by_elements else each
        sums[-1] += own
        if (at := books.places.get(item.name)) is not None:
            sums[at] += own
    return sums


def row_name(lot: Lot) -> str:
    """`model.layers.{layer}.input_layernorm.weight`."""
    return lot.key.partition(":")[2] or lot.key
