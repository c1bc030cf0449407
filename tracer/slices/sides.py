"""Which dimension of a tensor is cut, and which dimension of the parameter it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mappings.views import Shape
from tracer.events import Move


class Sides(NamedTuple):
    """The dimension that a part is drawn along."""

    along: int
    """Of the tensor."""
    lands: int
    """Of the parameter."""


def sides(by_rank: Sequence[Sequence[Move]], shape: Shape, first: int) -> Sides:
    """The dimension in which ranks differ; else the one that other parts share with this one; else the one that
    becomes the parameter's `first`.
    """  # fmt: skip
    moves = next(moves for moves in by_rank if moves)
    lands = landings(moves[0])
    along = _differing(by_rank, len(shape))
    if along is None:
        along = next((dim for dim, size in enumerate(shape) if not _all_of(moves, dim, size)), None)
    if along is None:
        along = next((dim for dim, own in enumerate(lands) if own == first), 0)
    return Sides(along, lands[along])


def _differing(by_rank: Sequence[Sequence[Move]], dims: int) -> int | None:
    told = [moves for moves in by_rank if moves]
    for dim in range(dims):
        if len({frozenset(move.src[dim] for move in moves) for moves in told}) > 1:
            return dim
    return None


def _all_of(moves: Sequence[Move], dim: int, size: int) -> bool:
    return sum(len(range(*r)) for r in {move.src[dim] for move in moves}) >= size


def landings(move: Move) -> list[int]:
    """For each dimension of the tensor, the dimension of the parameter that it goes along."""
    order = move.perm or tuple(range(len(move.src)))
    src = [(dim, len(range(*move.src[dim]))) for dim in order]
    dst = [(dim, len(range(*r))) for dim, r in enumerate(move.dst)]
    found = {dim: max(len(dst) - len(src) + place, 0) for place, dim in enumerate(order)}
    long, rooms = [item for item in src if item[1] > 1], [item for item in dst if item[1] > 1]
    while long and rooms:
        # A dimension becomes one, or a run of them one: both sides are walked until they have the same extent.
        (dim, size), (room, extent) = long.pop(0), rooms.pop(0)
        found[dim] = room
        while size != extent and (long if size < extent else rooms):
            if size < extent:
                more = long.pop(0)
                found[more[0]] = room
                size *= more[1]
            else:
                extent *= rooms.pop(0)[1]
    return [found[dim] for dim in range(len(move.src))]
