"""The path table's contents: moves folded over layers and experts to one line a template. No formatting here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from mappings.names import Indices, blank, fold
from mappings.views import Ranges, Shape
from tracer.events import Move, Parameter
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


class Line(NamedTuple):
    """One collapsed template: the same row, the same blocks on every rank, for all its tensors."""

    tensor: str
    """Folded: `model.layers.{0..31}.self_attn.q_proj.weight`."""
    tensor_template: str
    param_template: str
    shard: str
    row: str
    op: str | None
    hops: dict[int, Hop]


class _Key(NamedTuple):
    row: str
    shard: str
    op: str | None
    tensor: str
    param: str
    hops: tuple[tuple[int, Hop], ...]


def fold_moves(store: Store, ranks: Sequence[int], whole: bool = False) -> list[Line]:
    """Lines in the order of the moves. With `whole`, one line a tensor."""
    groups: dict[_Key, list[Indices]] = {}
    for (tensor, param, shard, row, op), hops in _by_tensor(store, ranks).items():
        template, indices = (tensor, ()) if whole else blank(tensor)
        key = _Key(row, shard, op, template, blank(param)[0], tuple(sorted(hops.items())))
        groups.setdefault(key, []).append(indices)
    return [_line(key, found) for key, found in groups.items()]


def _line(key: _Key, found: list[Indices]) -> Line:
    name = fold(key.tensor, found) if found[0] else key.tensor
    return Line(name, blank(key.tensor)[0], key.param, key.shard, key.row, key.op, dict(key.hops))


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
    template: str
    shape: Shape
    times: int
    lines: list[Line]


def by_param(lines: Sequence[Line], store: Store, rank: int) -> Iterator[Group]:
    """Lines grouped by parameter, in the order of the model."""
    members: dict[str, list[Parameter]] = {}
    for param in store.params(rank):
        members.setdefault(blank(param.name)[0], []).append(param)
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.param_template, []).append(line)
    for template, own in members.items():
        if template in groups:
            name = fold(template, [blank(param.name)[1] for param in own])
            yield Group(name, template, own[0].shape, len(own), sorted(groups[template], key=_place))


def _place(line: Line) -> tuple[Ranges, ...]:
    """Where a line lands in its parameter: parts in their order, whatever the order of the file."""
    return next(iter(line.hops.values())).dst

