"""Where every tensor was read and every parameter written: the blocks of all moves, grouped, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Literal, TypeAlias

import numpy as np

from mappings.views import Ranges
from tracer.columns import Columns
from tracer.errors import InputError

Numbers: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.int64]]"
Blocks: TypeAlias = tuple[Ranges, ...]


def blocks_of(
    columns: Columns, by: Literal["tensor", "param"], side: Literal["src", "dst"], rank: int | None = None
) -> dict[str, Blocks]:
    """The blocks on one side of all moves, in a fixed order, by the name of their tensor or parameter.

    Names with equal blocks, as the experts of all layers have, share one tuple of them. Raises InputError where a
    move names what is not there.
    """
    owners, boxes = _two(columns.pairs(by, "box", rank))
    order = np.lexsort((boxes, owners))
    owners = owners[order]
    sides, ranges = _sides(columns, side, boxes[order])
    changes = (np.flatnonzero(owners[1:] != owners[:-1]) + 1).tolist()
    known: dict[bytes, Blocks] = {}
    found: dict[str, Blocks] = {}
    for start, stop in pairwise([0, *changes, len(owners)] if len(owners) else ()):
        owner, own = int(owners[start]), sides[start:stop]
        key = own.tobytes()
        if key not in known:
            known[key] = tuple(ranges[number] for number in own.tolist())
        found[columns.name(owner)] = known[key]
    return found


def _sides(columns: Columns, side: str, boxes: Numbers) -> tuple[Numbers, list[Ranges]]:
    """One side of many blocks as positions in a list of the different ones."""
    numbers, where = np.unique(boxes, return_inverse=True)
    ranges: dict[Ranges, int] = {}
    which = [ranges.setdefault(getattr(columns.box(number), side), len(ranges)) for number in numbers.tolist()]
    return np.array(which, dtype=np.int64)[where], list(ranges)


def _two(rows: Sequence[tuple[int, int]]) -> tuple[Numbers, Numbers]:
    try:
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=2 * len(rows))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the trace store is damaged: a move's columns are no numbers ({error})") from None
    return flat[0::2], flat[1::2]
