"""The picture of one parameter as data: its parts, what each rank holds of them, padding, replicas, experts.

Made of moves, fills and shapes alone, so that it is the same for a plan and for what was observed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from mappings.names import runs
from mappings.views import Range, Ranges, Shape
from tracer.events import Move
from tracer.slices.order import permuted
from tracer.slices.placement import Placement, shard_of_expert, volume
from tracer.slices.sides import Sides, sides
from tracer.slices.spans import Segment, Span, lacks, mask, segments, spans, within
from tracer.slices.turns import Turns, turns


@dataclass(frozen=True)
class Share:
    """What one rank holds of a band."""

    rank: int
    held: tuple[Span, ...]
    """Positions of the band."""
    source: tuple[Span, ...]
    """The same in the tensor, along `Band.along`."""
    landing: tuple[Span, ...]
    """The same in the rank's parameter, along `Band.lands`."""
    elements: int
    order: tuple[Range, ...] = ()
    """The ranges of the tensor in the order in which they lie in the parameter, where that is another one."""


@dataclass(frozen=True)
class Band:
    """One part of a parameter as one tensor feeds it: q, k, v; gate, up; the whole."""

    part: str
    """Empty where the parameter is not fused."""
    tensor: str
    shape: Shape
    """The tensor's."""
    along: int
    """The dimension of the tensor that is cut, or that its parts lie side by side in."""
    lands: int
    """The dimension of the parameter that this becomes."""
    length: int
    """Positions along it; where parts are interleaved on disk, the part's own are counted."""
    shares: tuple[Share, ...]
    """One a rank that is known."""
    segments: tuple[Segment, ...]
    """All positions, by the ranks that hold them; of a rank that is not known, by what is planned for it."""
    op: str | None = None
    """The transform of its values, where there is one."""
    lost: tuple[int, ...] = ()
    """Ranks that lack what was planned for them and others hold."""
    absent: bool = False
    """Whether there is no such tensor, so that this part has no source."""

    def on_all(self, tp: int) -> bool:
        """Whether every rank holds all of it."""
        return bool(self.segments) and all(len(segment.ranks) == tp for segment in self.segments)

    @property
    def cut(self) -> bool:
        """Whether it is divided: some rank holds some of it, and not all."""
        holding = {rank for segment in self.segments for rank in segment.ranks}
        return any(rank not in segment.ranks for segment in self.segments for rank in holding)

    @property
    def replicated(self) -> tuple[Segment, ...]:
        """What several ranks hold."""
        return tuple(segment for segment in self.segments if len(segment.ranks) > 1)

    @property
    def gaps(self) -> tuple[Segment, ...]:
        """What no rank holds, though others of its tensor are held."""
        return tuple(segment for segment in self.segments if not segment.ranks)

    def share(self, rank: int) -> Share | None:
        return next((share for share in self.shares if share.rank == rank), None)


@dataclass(frozen=True)
class Padded:
    """Places of one rank that no tensor fills, by rule."""

    rank: int
    lands: int
    """The dimension of the parameter along which they lie."""
    landing: tuple[Span, ...]
    elements: int
    value: float
    reason: str


PLACED = {
    "whole": "whole", "partly": "only partly placed", "missing": "not placed", "twice": "placed more than once",
}  # fmt: skip
"""The states of an expert on a rank, in words."""


@dataclass(frozen=True)
class Cell:
    """One expert."""

    number: int
    tensors: tuple[str, ...]
    elements: tuple[int, ...]
    """What was placed on each rank, in the order of the ranks."""


@dataclass(frozen=True)
class Experts:
    """The experts of a stacked parameter; its bands are those of the chosen one."""

    chosen: int
    cells: tuple[Cell, ...]
    room: tuple[int, ...]
    """Elements of one expert on each rank, in the order of the ranks."""

    def state(self, cell: Cell, rank: int) -> str:
        """One of `PLACED`; `twice` where more was placed than there is room for."""
        placed, room = cell.elements[rank], self.room[rank]
        if placed == room:
            return "whole"
        return "missing" if not placed else "partly" if placed < room else "twice"


@dataclass(frozen=True)
class SliceMap:
    """One parameter on all ranks."""

    param: str
    tp: int
    ranks: tuple[int, ...]
    """Those that are known."""
    whole_shape: Shape | None
    """Before cutting, padding not counted."""
    shapes: tuple[Shape, ...]
    """What each rank allocates."""
    bands: tuple[Band, ...] = ()
    """In the order in which they lie in the parameter."""
    pads: tuple[Padded, ...] = ()
    experts: Experts | None = None
    tied_to: str | None = None
    """The parameter whose storage this is; the picture is of that one."""
    aliases: tuple[str, ...] = ()
    """Parameters that are tied to this one."""
    planned: bool = True
    """Whether anything says what ranks hold that are not known."""
    cut_short: bool = False
    """Whether more may have been placed than was recorded."""
    refused: str | None = None
    """Why there is no picture."""

    @property
    def cut(self) -> int | None:
        """The dimension of the parameter that is divided over the ranks; None where none is."""
        return next((band.lands for band in self.bands if band.cut), None)

    @property
    def whole(self) -> bool:
        """Whether every rank holds all of it."""
        return bool(self.bands) and all(band.on_all(self.tp) for band in self.bands) and not self.pads

    @property
    def known(self) -> str:
        """Which ranks are known, where not all of them are."""
        if len(self.ranks) == self.tp:
            return ""
        one = len(self.ranks) == 1
        known = f"rank{'' if one else 's'} {runs(self.ranks)} of {self.tp} {'is' if one else 'are'} known"
        return f"{known}; the others are {'as planned' if self.planned else 'not'}"

    @property
    def lacking(self) -> str:
        """Where what no rank is known to hold is."""
        return "not recorded" if self.cut_short else "on no rank"

    @property
    def number(self) -> bool:
        """Whether it has no dimensions: one number, such as a scale."""
        return not any(self.shapes)

    @property
    def holding(self) -> list[int]:
        """The ranks that hold any of it."""
        return sorted({rank for band in self.bands for segment in band.segments for rank in segment.ranks})

    @cached_property
    def turns(self) -> tuple[Turns, ...]:
        """The places of all bands, those that alternate together."""
        return tuple(turns(self.bands))

    def shape(self, rank: int) -> Shape:
        return self.shapes[self.ranks.index(rank)]


def picture(places: Placement, param: str, expert: int = 0) -> SliceMap:
    """The picture of a parameter; of one with experts, the bands of one of them."""
    tied_to = places.tied(param)
    shapes = {rank: shape for rank in places.ranks if (shape := places.shape(param, rank)) is not None}
    refused = places.refusal() or (None if shapes else _shapeless(places, param))
    if refused:
        return SliceMap(param, places.tp, (), places.whole_shape(param), (), refused=refused)
    found = Drawn(places, tied_to or param, shapes, expert)
    if found.misfit:
        return SliceMap(param, places.tp, (), places.whole_shape(param), (), refused=found.misfit)
    return SliceMap(
        param, places.tp, tuple(shapes), places.whole_shape(param), tuple(shapes.values()), found.bands(),
        found.pads(), found.experts(), tied_to, tuple(places.aliases(param)),
        len(shapes) == places.tp or places.planned is not None, places.cut_short,
    )  # fmt: skip


def _shapeless(places: Placement, param: str) -> str:
    planned = places.planned is not None and places.planned.whole_shape(param) is not None
    if planned or places.into(param):
        return f"no record says what ranks allocate for {param}"
    return f"no parameter of this name: {param}"


_LARGEST = 1 << 28
"""Positions of all ranks together: each takes a byte while a picture is made."""


class Drawn:
    """What goes into one parameter, sorted by part and rank."""

    def __init__(self, places: Placement, param: str, shapes: Mapping[int, Shape], expert: int) -> None:
        self.places = places
        self.param = param
        self.shapes = {rank: shape or (1,) for rank, shape in shapes.items()}
        self.count = places.experts(param)
        self.expert = min(max(expert, 0), max(self.count - 1, 0))
        self.first = 1 if self.count else 0
        """The first dimension of the parameter that is not the experts'."""
        chosen = self.expert if self.count else None
        self.moves = list(map(_with_a_dimension, places.into(param, chosen)))
        self.lost = [_with_a_dimension(move) for move in places.lost(param, chosen) if move.rank in shapes]
        self.beyond = list(map(_with_a_dimension, self._beyond(chosen)))
        """What is planned for ranks of which nothing is known."""
        self.told = [*self.moves, *self.lost, *self.beyond]
        # Of what has no source at all there is no part to be told from others.
        gone = places.without_source(param, chosen) if self.told else []
        self.gone = list(map(_with_a_dimension, gone))
        self.told += self.gone
        self.sources = {move.tensor: self._source(move.tensor) for move in self.told}

    def _beyond(self, chosen: int | None) -> list[Move]:
        planned = self.places.planned
        if planned is None or len(self.shapes) == self.places.tp:
            return []
        return [move for move in planned.into(self.param, chosen) if move.rank not in self.shapes]

    def _source(self, tensor: str) -> Shape | None:
        shape = self.places.tensor_shape(tensor)
        return None if shape is None else shape or (1,)

    @property
    def misfit(self) -> str | None:
        """What a trace has that cannot be drawn: blocks that leave their tensor or their parameter."""
        for move in self.moves:
            source, target = self.sources[move.tensor], self.shapes.get(move.rank)
            if target is None:
                return f"rank {move.rank}: no record says what it allocates for {move.param}"
            if not _within(move.dst, target) or not (source is None or _within(move.src, source)):
                return f"rank {move.rank}: a move from {move.tensor} does not lie within {move.param}"
        positions = (size for shape in (*self.shapes.values(), *self.sources.values()) for size in shape or ())
        ranks = {*self.shapes, *(move.rank for move in self.beyond)}
        if max(positions, default=0) * len(ranks) > _LARGEST:
            return "it has more positions than can be drawn"
        wrong = next((p for p in self.places.pads(self.param) if not _within(p.dst, self.shapes.get(p.rank, ()))), None)
        return f"rank {wrong.rank}: padding does not lie within {self.param}" if wrong else None

    def bands(self) -> tuple[Band, ...]:
        parts: dict[tuple[str, str], list[Move]] = {}
        for move in self.told:
            parts.setdefault((shard_of_expert(move.shard)[1], move.tensor), []).append(move)
        lost = {*self.lost, *self.gone}
        ordered = sorted(parts.items(), key=lambda item: min(move.dst for move in item[1]))
        return tuple(self._band(part, tensor, moves, lost) for (part, tensor), moves in ordered)

    def _chosen(self, dst: Ranges) -> bool:
        return not self.count or dst[0][0] <= self.expert < dst[0][1]

    def _band(self, part: str, tensor: str, moves: Sequence[Move], lost: Collection[Move]) -> Band:
        """Positions that were to be held are there too, be they lost on all ranks."""
        shape = self.sources[tensor] or _reached(moves)
        by_rank: dict[int, list[Move]] = {rank: [] for rank in self.shapes}
        for move in moves:
            by_rank.setdefault(move.rank, []).append(move)
        where = sides(list(by_rank.values()), shape, self.first)
        size = shape[where.along]
        all_of = mask(size, (move.src[where.along] for move in moves))
        meant = {rank: mask(size, (move.src[where.along] for move in own)) for rank, own in by_rank.items()}
        by_rank = {rank: [move for move in own if move not in lost] for rank, own in by_rank.items()}
        masks = {rank: mask(size, (move.src[where.along] for move in own)) for rank, own in by_rank.items()}
        there = mask(size, (move.src[where.along] for own in by_rank.values() for move in own))
        lacking = tuple(rank for rank in self.shapes if lost and lacks(meant[rank], masks[rank], there))
        shares = tuple(self._share(rank, by_rank[rank], where, masks[rank], all_of) for rank in self.shapes)
        length = all_of.count(1)
        held = {rank: spans(within(own, all_of)) for rank, own in masks.items()}
        return Band(
            part, tensor, shape, where.along, where.lands, length, shares, segments(length, held), moves[0].op, lacking,
            any(move.tensor == tensor for move in self.gone),
        )  # fmt: skip

    def _share(self, rank: int, moves: Sequence[Move], where: Sides, own: bytes, all_of: bytes) -> Share:
        landing = mask(self.shapes[rank][where.lands], (move.dst[where.lands] for move in moves))
        elements = sum(self._elements(move.dst) for move in moves)
        order = permuted([(move.src[where.along], move.dst[where.lands]) for move in moves])
        return Share(rank, spans(within(own, all_of)), spans(own), spans(landing), elements, order)

    def _elements(self, dst: Ranges) -> int:
        """Of the chosen expert, where there are experts."""
        return volume(dst[self.first :])

    def pads(self) -> tuple[Padded, ...]:
        found: dict[tuple[int, float, str], list[Ranges]] = {}
        for pad in self.places.pads(self.param):
            if self._chosen(pad.dst):
                found.setdefault((pad.rank, pad.value, pad.reason), []).append(pad.dst)
        return tuple(self._padded(*key, own) for key, own in found.items())

    def _padded(self, rank: int, value: float, reason: str, own: Sequence[Ranges]) -> Padded:
        landing = spans(mask(self.shapes[rank][self.first], (dst[self.first] for dst in own)))
        return Padded(rank, self.first, landing, sum(self._elements(dst) for dst in own), value, reason)

    def experts(self) -> Experts | None:
        if not self.count:
            return None
        filled, position = self.places.filled(self.param), {rank: number for number, rank in enumerate(self.shapes)}
        placed = [list(own.elements) for own in filled]
        for pad in self.places.pads(self.param):
            for number in range(*pad.dst[0]):
                placed[number][position[pad.rank]] += self._elements(pad.dst)
        room = tuple(prod(shape[1:]) for shape in self.shapes.values())
        cells = (Cell(n, filled[n].tensors, tuple(own)) for n, own in enumerate(placed))
        return Experts(self.expert, tuple(cells), room)


def _reached(moves: Sequence[Move]) -> Shape:
    """How far moves reach into a tensor that no record describes."""
    return tuple(max(stop for _, stop, _ in column) for column in zip(*(move.src for move in moves), strict=True))


def _within(ranges: Ranges, shape: Shape) -> bool:
    each = zip(ranges, shape, strict=False)
    return len(ranges) == len(shape) and all(0 <= a <= b <= size and step > 0 for (a, b, step), size in each)


def _with_a_dimension(move: Move) -> Move:
    """A single number is drawn as a list of one."""
    return move if move.src and move.dst else replace(move, src=move.src or ((0, 1, 1),), dst=move.dst or ((0, 1, 1),))
