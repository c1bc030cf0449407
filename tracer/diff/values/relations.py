"""What may have been done to a matrix that is nothing like the other one: turned, reordered. Found on a few rows.

Rotary order: of a head's d rows, GGUF's llama and Meta's own files pair neighbours (2i, 2i + 1) where the Hub's
pair the halves (i, i + d / 2); llama.cpp's converter permutes q and k from the one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracer.diff.compared import Relation
from tracer.diff.values.distance import TILE, Sums
from tracer.diff.values.rows import Blockwise, Rows, Unreadable, Whole

Numbers = NDArray[Any]
_LARGEST_HEAD = 512
"""Rows of the largest head that is tried, and of the sample."""
_COLUMNS = 2_048
BETTER = 0.5
"""What is left of the distance, at most, where a turn explains it."""
_LOOKED_AT = 0.3
"""Relative distance from which a turn is looked for: a fine-tune is far below, unrelated numbers at 1.4."""


class Turned(NamedTuple):
    """A in B's order."""

    relation: Relation
    rows: Rows
    detail: str
    multiple: int
    """Rows that have to be read together."""


def turn(a: Rows, b: Rows, far: float) -> Turned | None:
    """What A has to go through to come nearest to B, or None where nothing helps. `far`: their relative distance."""
    if a.shape != b.shape or min(a.shape) < 2 or far < _LOOKED_AT:
        return None
    return _rotary(a, b) or _transposed(a, b)


def _rotary(a: Rows, b: Rows) -> Turned | None:
    """The size of a head, and the direction, under which the first rows fit best."""
    count = min(a.shape[0], _LARGEST_HEAD)
    own, other = a.read(0, count)[:, :_COLUMNS], b.read(0, count)[:, :_COLUMNS]
    best, chosen = BETTER * _apart(own, other), None
    for size, order in _orders(a.shape[0]):
        if size > count:
            continue
        blocks = own[: count // size * size].reshape(-1, size, own.shape[1])
        distance = _apart(blocks[:, order].reshape(-1, own.shape[1]), other[: count // size * size])
        if distance < best:
            best, chosen = distance, (size, order)
    if chosen is None:
        return None
    size, order = chosen
    return Turned("rotary", Blockwise(a, order.tolist()), f"{a.shape[0] // size} heads", size)


def _orders(rows: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Both directions for each even head size that divides the rows; of 4 on, as 2 rows have one order."""
    for size in range(4, min(rows, _LARGEST_HEAD) + 1, 2):
        if rows % size == 0:
            order = np.arange(size)
            yield size, order.reshape(2, size // 2).T.ravel()
            yield size, order.reshape(size // 2, 2).T.ravel()


def _transposed(a: Rows, b: Rows) -> Turned | None:
    """Of a square matrix, which no shape tells."""
    if a.shape[0] != a.shape[1]:
        return None
    count = max(1, min(a.shape[0], TILE // a.shape[1]))
    other = b.read(0, count)
    try:
        whole = Whole(a, np.transpose)
    except Unreadable:
        return None
    better = _apart(whole.read(0, count), other) < BETTER * _apart(a.read(0, count), other)
    return Turned("transposed", whole, "", 1) if better else None


def _apart(a: Numbers, b: Numbers) -> float:
    sums = Sums()
    sums.add(a, b)
    return sums.distance().relative


def reordered(a: Rows, b: Rows) -> bool:
    """Whether B has just A's rows, in another order: told by a digest of each."""
    if a.shape != b.shape or a.shape[0] < 2:
        return False
    return sorted(_digests(a)) == sorted(_digests(b))


def _digests(rows: Rows) -> Iterator[int]:
    step = max(1, TILE // max(1, rows.shape[1]))
    for start in range(0, rows.shape[0], step):
        piece = rows.read(start, min(start + step, rows.shape[0])).astype(np.float64) + 0.0  # -0 is 0
        yield from (hash(row.tobytes()) for row in piece)
