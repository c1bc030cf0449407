"""The path table's contents: moves folded over layers and experts to one line a template. No formatting here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias

from mappings.names import Indices, blank, fold
from mappings.plan import Place
from mappings.views import Box, Ranges, Shape
from tracer.cells import shard_of
from tracer.columns import Columns
from tracer.events import Parameter
from tracer.report.words import EXPERT
from tracer.store import Store

Side: TypeAlias = tuple[Ranges, ...]
"""The blocks of one tensor on one side."""


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
    row: int
    shard: str
    op: str | None
    tensor: str
    param: str
    hops: tuple[tuple[int, tuple[int, ...]], ...]


def fold_moves(store: Store, ranks: Sequence[int], whole: bool = False) -> list[Line]:
    """Lines in the order of the moves. With `whole`, one line a tensor."""
    columns = Columns(store)
    names = columns.names
    pieces = _Pieces(columns.boxes)
    groups: dict[_Key, list[Indices]] = {}
    for (tensor, param, shard, row, op), hops in _by_tensor(columns, ranks, pieces).items():
        template, indices = (names[tensor], ()) if whole else blank(names[tensor])
        key = _Key(row, shard, op, template, blank(names[param])[0], tuple(sorted(hops.items())))
        groups.setdefault(key, []).append(indices)
    return [_line(key, found, names, pieces) for key, found in groups.items()]


def _line(key: _Key, found: list[Indices], names: Mapping[int, str], pieces: _Pieces) -> Line:
    name = fold(key.tensor, found) if found[0] else key.tensor
    hops = {rank: pieces.hop(numbers) for rank, numbers in key.hops}
    return Line(name, blank(key.tensor)[0], key.param, key.shard, names[key.row], key.op, hops)


def _by_tensor(
    columns: Columns, ranks: Sequence[int], pieces: _Pieces
) -> dict[tuple[int, int, str, int, str | None], dict[int, tuple[int, ...]]]:
    """The pieces of every tensor in a parameter on each rank, all by their numbers."""
    found: dict[tuple[int, int, str, int, str | None], dict[int, tuple[int, ...]]] = {}
    for rank in ranks:
        for tensor, row, spelled, param, box, op in columns.moves(rank):
            shard, piece = pieces.number(box, spelled)
            by_rank = found.setdefault((tensor, param, shard, row, op), {})
            by_rank[rank] = (*by_rank[rank], piece) if rank in by_rank else (piece,)
    return found


class _Pieces:
    """Blocks told without the number of the expert that they belong to, so that all experts share a line."""

    def __init__(self, boxes: Mapping[int, Box]) -> None:
        self._boxes = boxes
        self._known: dict[tuple[int, str], tuple[str, int]] = {}
        self._numbers: dict[Box, int] = {}

    def number(self, box: int, spelled: str) -> tuple[str, int]:
        """A move's shard without an expert, and a number that moves with equal pieces share."""
        found = self._known.get((box, spelled))
        if found is None:
            expert, shard = _shard(shard_of(spelled))
            piece = _without_expert(self._boxes[box], expert)
            found = self._known[box, spelled] = shard, self._numbers.setdefault(piece, len(self._numbers))
        return found

    def hop(self, numbers: Sequence[int]) -> Hop:
        """What pieces are together."""
        pieces = [self._list[number] for number in numbers]
        return Hop(tuple(p.src for p in pieces), tuple(p.dst for p in pieces), pieces[0].perm)

    @cached_property
    def _list(self) -> list[Box]:
        return list(self._numbers)


def _shard(shard: str | int | None) -> tuple[int | None, str]:
    """An expert's number and the rest: `3` -> (3, ""), `"3.gate"` -> (3, "gate"), `"q"` -> (None, "q")."""
    if isinstance(shard, int):
        return shard, ""
    head, dot, rest = (shard or "").partition(".")
    return (int(head), rest) if dot and head.isdigit() else (None, shard or "")


def _without_expert(box: Box, expert: int | None) -> Box:
    if expert is None or not box.dst or box.dst[0] != (expert, expert + 1, 1):
        return box
    return Box(box.src, ((EXPERT, EXPERT, 1), *box.dst[1:]), box.perm)


def planned_hop(places: Iterable[Place], shard: str) -> Hop | None:
    """What a plan has of one shard at these places, told as a line tells it; None where it has nothing."""
    boxes = [
        _without_expert(box, expert)
        for place in places for expert, told in [_shard(place.shard)] if told == shard for box in place.boxes
    ]  # fmt: skip
    return Hop(tuple(b.src for b in boxes), tuple(b.dst for b in boxes), boxes[0].perm) if boxes else None


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

