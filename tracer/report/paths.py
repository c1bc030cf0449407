"""The path table's contents: moves folded over layers and experts to one line a template. No formatting here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from mappings.names import Indices, blank, fold
from mappings.views import Ranges, Shape
from tracer.events import Move
from tracer.store import Store

Side: TypeAlias = tuple[Ranges, ...]
"""The blocks of one tensor on one side."""
EXPERT = -1
"""Stands for the tensor's own expert in a folded range."""


class Hop(NamedTuple):
    """What one rank reads and where it lands."""

    src: Side
    dst: Side
    perm: tuple[int, ...] | None


@dataclass
class Line:
    """One collapsed template: the same row, the same blocks, for all its tensors."""

    tensor: str
    param: str
    shard: str
    row: str
    op: str | None
    count: int
    hops: dict[int, Hop] = field(default_factory=dict)


@dataclass(frozen=True)
class _Key:
    row: str
    shard: str
    op: str | None
    tensor: str
    param: str
    hops: tuple[tuple[int, Hop], ...]


def fold_moves(
    store: Store, ranks: Sequence[int], whole: bool = False
) -> list[Line]:  # fmt: skip
    """Lines in the order of the moves. With `whole`, one line a tensor."""
    groups: dict[_Key, list[tuple[Indices, Indices]]] = {}
    for (tensor, param, shard, row, op), hops in _by_tensor(store, ranks).items():
        template, indices = (tensor, ()) if whole else blank(tensor)
        target, positions = (param, ()) if whole else blank(param)
        key = _Key(row, shard, op, template, target, tuple(sorted(hops.items())))
        groups.setdefault(key, []).append((indices, positions))
    return [
        Line(
            fold(key.tensor, [i for i, _ in found]) if found[0][0] else key.tensor,
            fold(key.param, [p for _, p in found]) if found[0][1] else key.param,
            key.shard, key.row, key.op, len(found), dict(key.hops),
        )
        for key, found in groups.items()
    ]  # fmt: skip


def _by_tensor(
    store: Store, ranks: Sequence[int]
) -> dict[tuple[str, str, str, str, str | None], dict[int, Hop]]:  # fmt: skip
    moves = (move for rank in ranks for move in store.moves(rank))
    found: dict[tuple[str, str, str, str, str | None], dict[int, list[Move]]] = {}
    for move in moves:
        expert, shard = _shard(move.shard)
        key = (move.tensor, move.param, shard, move.row, move.op)
        found.setdefault(key, {}).setdefault(move.rank, []).append(_without_expert(move, expert))
    return {key: {rank: _hop(own) for rank, own in by_rank.items()} for key, by_rank in found.items()}


def _shard(shard: str | int | None) -> tuple[int | None, str]:
    """An expert's number and the rest: `3` -> (3, ""), `"3.gate"` -> (3, "gate"), `"q"` -> (None, "q")."""
    if isinstance(shard, int):
        return shard, ""
    head, dot, rest = (shard or "").partition(".")
    return (int(head), rest) if dot and head.isdigit() else (None, shard or "")


def _without_expert(move: Move, expert: int | None) -> Move:
    if expert is None or not move.dst or move.dst[0] != (expert, expert + 1, 1):
        return move
    return Move(
        move.rank, move.tensor, move.row, move.shard, move.param, move.src,
        ((EXPERT, EXPERT, 1), *move.dst[1:]), move.perm, move.op,
    )  # fmt: skip


def _hop(moves: Sequence[Move]) -> Hop:
    return Hop(tuple(m.src for m in moves), tuple(m.dst for m in moves), moves[0].perm)


class Group(NamedTuple):
    """All lines of one parameter template, with its shape on the first rank shown."""

    param: str
    shape: Shape
    times: int
    lines: list[Line]


def by_param(lines: Sequence[Line], store: Store, rank: int) -> Iterator[Group]:
    """Lines grouped by parameter, in the order of the model."""
    shapes = {p.name: p.shape for p in store.params(rank)}
    order = {blank(name)[0]: place for place, name in reversed(list(enumerate(shapes)))}
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(_template(line.param), []).append(line)
    for template in sorted(groups, key=lambda t: order.get(t, len(order))):
        own = groups[template]
        members = [name for name in shapes if blank(name)[0] == template]
        shape = shapes[members[0]] if members else ()
        name = fold(template, [blank(m)[1] for m in members]) if members else own[0].param
        yield Group(name, shape, len(members), sorted(own, key=_place))


def _place(line: Line) -> tuple[Ranges, ...]:
    """Where a line lands in its parameter: parts in their order, whatever the order of the file."""
    return next(iter(line.hops.values())).dst


def _template(param: str) -> str:
    """A folded name's template."""
    depth, out = 0, []
    for char in param:
        depth += char == "{"
        if not depth:
            out.append(char)
        elif char == "}":
            out.append("{}")
        depth -= char == "}"
    return blank("".join(out))[0]
