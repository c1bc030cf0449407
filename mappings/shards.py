"""Cut one axis over tensor-parallel ranks: evenly, by sharing KV heads, or after padding the vocabulary."""

from __future__ import annotations

from typing import NamedTuple

from mappings.params import VOCABULARY_MULTIPLE, Cut


class Shard(NamedTuple):
    """One rank's interval of a cut axis, in positions."""

    start: int
    stop: int
    """`start == stop` where the rank holds padding only."""
    room: int
    """Positions the rank allocates; beyond `stop - start` they are padding."""


def padded(size: int, multiple: int = VOCABULARY_MULTIPLE) -> int:
    """`size` rounded up to a multiple."""
    return -(-size // multiple) * multiple


def shard(cut: Cut | None, size: int, tp: int, rank: int) -> Shard:
    """The interval of `rank`. The cut must be legal (`obstacle` is None)."""
    if cut is None:
        return Shard(0, size, size)
    if cut.kind == "pad":
        room = padded(size) // tp
        return Shard(min(rank * room, size), min((rank + 1) * room, size), room)
    if _shared(cut, size, tp):
        held = rank * size // tp
        return Shard(held, held + 1, 1)
    room = size // tp
    return Shard(rank * room, (rank + 1) * room, room)


def replicas(cut: Cut | None, size: int, tp: int) -> int:
    """How many ranks read each element of the part."""
    if cut is None:
        return tp
    return tp // size if _shared(cut, size, tp) else 1


def obstacle(cut: Cut | None, size: int, tp: int) -> str | None:
    """Why this axis cannot be cut by `tp`, or None. The rule and the numbers, without the axis name."""
    if cut is None:
        return None
    if cut.kind == "pad":
        whole = padded(size)
        return f"{size} padded to {whole} does not divide by {tp}" if whole % tp else None
    if cut.kind == "share" and size < tp:
        return f"{tp} ranks cannot share {size} evenly" if tp % size else None
    if cut.kind == "share-one" and size == 1:
        return None
    return f"{size} does not divide by {tp}" if size % tp else None


def _shared(cut: Cut, size: int, tp: int) -> bool:
    return size < tp and (cut.kind == "share" or (cut.kind == "share-one" and size == 1))


def box_of(interval: tuple[int, int], sizes: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """An interval of a product of atoms as one interval per atom, or None where it is no box.

    >>> box_of((4, 8), (8, 2))
    [(2, 4), (0, 2)]
    >>> box_of((4, 6), (2, 4))
    [(1, 2), (0, 2)]
    """
    start, stop = interval
    if not sizes:
        return []
    inner = 1
    for size in sizes[1:]:
        inner *= size
    if start % inner == 0 and stop % inner == 0:
        return [(start // inner, stop // inner), *((0, size) for size in sizes[1:])]
    if start // inner != (stop - 1) // inner:
        return None
    outer = start // inner
    rest = box_of((start - outer * inner, stop - outer * inner), sizes[1:])
    return None if rest is None else [(outer, outer + 1), *rest]
