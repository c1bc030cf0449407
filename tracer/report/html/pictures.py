"""Slice maps as rows of rectangles: the parameter with its parts, and below it what each rank holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mappings.names import blank, fold, runs
from tracer.report import words
from tracer.report.html.experts import grids, hidden
from tracer.report.html.ranks import MOST, as_planned
from tracer.report.html.view import Block, Kind, Picture, Row
from tracer.report.paths import Group
from tracer.session import Result
from tracer.slices.observed import Observed
from tracer.slices.order import ordered
from tracer.slices.picture import Band, Experts, Padded, Share, SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.placement import Placement
from tracer.slices.spans import Segment, Span, told
from tracer.slices.turns import Turns

_PARTS = 6
"""Colours."""
_MOST_BLOCKS = 32
"""Of one part on one rank: where parts are interleaved there are as many as heads."""
_MOST_KINDS = 4
"""Of members of one group, that are drawn."""
_ROUNDS = 32
"""Of parts that take turns: so many are drawn of the whole, and at least one of what a rank holds."""
_CHARACTER = 6.7
"""The width of one, in units of the drawing."""


class Geometry(NamedTuple):
    """Sizes, in units of the drawing."""

    width: int = 960
    row: int = 22
    base: int = 14
    """Where the foot of a text is in its row."""
    left: int = 80
    right: int = 110
    """Room for padding, and for the label of what ends a row."""


GEOMETRY = Geometry()


class Pictures:
    """Draws a parameter of each group that stands for most of its layers, and those that differ from it."""

    def __init__(self, result: Result) -> None:
        plan = result.prepared.plan
        tp = result.prepared.request.tp
        some = result.prepared.run.observed and len(result.prepared.request.ranks) < tp
        told = as_planned(result) and not some
        self._places: Placement = Placed(result.prepared, tp) if told else Observed(result.store, plan)
        self._ranks = result.prepared.request.ranks[:MOST]
        self._names: dict[str, list[str]] = {}
        self._wrong = {finding.subject for finding in result.findings if finding.severity == "error"}
        for name, _ in plan.params():
            self._names.setdefault(blank(name)[0], []).append(name)

    def of(self, group: Group) -> list[Picture]:
        """One of each kind of member, the most frequent first; a kind of which every rank holds all has none."""
        kinds: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
        for name in self._names.get(group.template, []):
            lacking = tuple(blank(each)[0] for each in self._places.absent(name))
            kinds.setdefault((name in self._wrong, lacking), []).append(name)
        alike = sorted(kinds.values(), key=len, reverse=True)
        made = (drawn(picture(self._places, own[0]), self._ranks) for own in alike[:_MOST_KINDS])
        found = [map for map in made if map]
        if found and len(alike) > 1:
            differing = sorted(blank(name)[1] for own in alike if found[0].of not in own for name in own)
            told = f"not like it: {fold(group.template, differing)}"
            found[0] = found[0]._replace(notes=[*found[0].notes, told])
        return found


def drawn(map: SliceMap, ranks: Sequence[int]) -> Picture | None:
    """The rows of a picture, with those ranks that it has among `ranks`."""
    if map.refused:
        return Picture(map.param, [], [f"not drawn: {map.refused}"])
    if map.number:
        return Picture(map.param, [], [_number(map), *filter(None, [map.known])])
    if not map.experts and (not map.bands or (map.whole and len(map.bands) == 1)):
        return None
    rows = list(_rows(map, ranks)) if map.bands else []
    notes = [*filter(None, [map.known]), *_notes(map), *([] if map.whole else _hidden(map, ranks))]
    return Picture(map.param, rows, notes, list(grids(map)) if map.experts else [])


def _number(map: SliceMap) -> str:
    if map.whole:
        return "one number, which every rank holds"
    if map.holding and not map.planned:
        return f"one number, on rank {runs(map.holding)}"
    return f"one number, on rank {runs(map.holding)} alone" if map.holding else "one number, on no rank"


def _rows(map: SliceMap, ranks: Sequence[int]) -> Iterator[Row]:
    scale = _Scale(map)
    yield Row("whole", list(scale.whole()))
    if not map.whole:
        yield from (Row(f"rank {rank}", list(scale.rank(rank))) for rank in map.ranks if rank in ranks)


def _hidden(map: SliceMap, ranks: Sequence[int]) -> Iterator[str]:
    if hidden := [rank for rank in map.ranks if rank not in ranks]:
        yield f"{words.plural(len(hidden), 'rank')} without a line: {runs(hidden)}"


def _notes(map: SliceMap) -> Iterator[str]:
    if map.whole:
        yield "every rank holds all of it"
    elif any(band.replicated for band in map.bands):
        yield "hatched: several ranks hold the same"
    if any(len(share.held) > _MOST_BLOCKS for band in map.bands for share in band.shares):
        yield "striped: the rank holds pieces of it"
    turned = (band.part or "all of it" for band in map.bands if any(share.order for share in band.shares))
    yield from (f"{part}: permuted, its rows lie in another order than in the tensor" for part in turned)
    yield from (_in_turn(map, turns) for turns in map.turns if turns.takes)
    absent = [band for band in map.bands if band.absent]
    yield from (f"{band.part or 'all of it'}: no source, {band.tensor} is not there" for band in absent)
    sourced = [band for band in map.bands if not band.absent]
    unwritten = [band for band in sourced if band.gaps and not any(share.held for share in band.shares)]
    if any(band.gaps and band not in unwritten for band in map.bands):
        yield "crossed: no rank holds it"
    yield from (f"{band.part or 'all of it'}: no rank has written any of it" for band in unwritten)
    lost = ((band.part or "all of it", runs(band.lost)) for band in map.bands if band.lost)
    yield from (f"{part}: rank {ranks} lacks what is planned for it" for part, ranks in lost)
    for reason, value in dict.fromkeys((pad.reason, pad.value) for pad in map.pads):
        yield f"dotted: {reason}, {value:g}"
    if map.experts:
        yield _experts(map.experts, map.ranks)
        if more := hidden(map):
            yield f"ranks {runs(more)} have each some other experts: --json has all"


def _in_turn(map: SliceMap, turns: Turns) -> str:
    first, *later = (map.bands[place] for place in turns.bands)
    stacked = 1 if map.experts else 0
    row = first.lands == stacked and len(map.shapes[0]) > stacked + 1
    noun = "row" if row else "position"
    names, lower = ", ".join([first.part, *(band.part for band in later)]), ", ".join(band.part for band in later)
    fewer = first.length > turns.takes[0] * _ROUNDS
    less = ", of which a few are drawn" if fewer else ""
    return f"{names} in turn: {turns.words(noun, f'{noun}s')}{less}; the lower stripes are {lower}"


def _experts(experts: Experts, ranks: Sequence[int]) -> str:
    told = f"expert {experts.chosen} of {len(experts.cells)}"
    whole = all(experts.state(cell, place) == "whole" for cell in experts.cells for place in range(len(ranks)))
    return f"{told}, which are all alike" if whole else told


class _Scale:
    """Where the positions of each band are in the drawing."""

    def __init__(self, map: SliceMap) -> None:
        self._map = map
        room = GEOMETRY.width - GEOMETRY.left - GEOMETRY.right
        self._unit = room / max(sum(band.length for band in map.bands), 1)
        self._starts, at = [], 0
        for band in map.bands:
            self._starts.append(at)
            at += band.length
        self._end = at
        self._turns = {place: turns for turns in map.turns if turns.takes for place in turns.bands}

    def whole(self) -> Iterator[Block]:
        """The bands of the parameter."""
        labels = (f"{band.part} {band.length}".strip() for band in self._map.bands)
        blocks = [
            self._lacking(place) if band.absent
            else self._block(place, (0, band.length), "held", label, f"{label} from {band.tensor}")
            for place, (band, label) in enumerate(zip(self._map.bands, labels, strict=True))
        ]  # fmt: skip
        for block in _joined(blocks):
            yield block if _wide(block.label) <= block.width else block._replace(label="")

    def rank(self, rank: int) -> Iterator[Block]:
        """What a rank holds, labelled where there is room, in the block or beside it."""
        blocks = _joined(list(self._blocks(rank)))
        for number, block in enumerate(blocks):
            end = next((after.x for after in blocks[number + 1 :] if not after.turn), GEOMETRY.width)
            inside = _wide(block.label) <= block.width
            beside = not inside and bool(block.label) and block.width + _wide(block.label) <= end - block.x
            yield block._replace(label=block.label if inside or beside else "", beside=beside)

    def _blocks(self, rank: int) -> Iterator[Block]:
        """What a rank holds, what nobody does, and what is filled by rule."""
        for place, band in enumerate(self._map.bands):
            share = band.share(rank)
            if share and share.held:
                yield from self._held(place, band, share)
            if band.absent:
                yield self._lacking(place)
                continue
            for gap in band.gaps[:_MOST_BLOCKS]:
                lost = f"{band.part} {gap.start}:{gap.stop} no rank".strip()
                yield self._block(place, (gap.start, gap.stop), "gap", "", lost)
        for pad in self._map.pads:
            if pad.rank == rank:
                yield self._pad(pad)

    def _lacking(self, place: int) -> Block:
        band = self._map.bands[place]
        told = f"{band.part} {band.length}: no source, {band.tensor} is not there".strip()
        return self._block(place, (0, band.length), "gap", f"╳ {band.part}: no source", told)

    def _held(self, place: int, band: Band, share: Share) -> Iterator[Block]:
        """What a rank holds of a band; it is told by where it lies in the tensor."""
        held, source = share.held, share.source
        order = f", permuted: {ordered(share.order)}" if share.order else ""
        if len(held) > _MOST_BLOCKS:
            label = f"{band.part} {told(source)}".strip()
            yield self._block(place, (held[0][0], held[-1][1]), "scattered", label, f"{label}{order} of {band.tensor}")
            return
        for number, span in enumerate(held):
            own = source[number : number + 1] if len(source) == len(held) else source
            label = f"{band.part} {told(own)}".strip()
            kind, who = self._shared(band.replicated, span)
            yield self._block(place, span, kind, label, f"{label}{order} of {band.tensor}{who}")

    def _shared(self, replicated: Sequence[Segment], span: Span) -> tuple[Kind, str]:
        found = next((each for each in replicated if each.start < span[1] and span[0] < each.stop), None)
        return ("shared", f", held by ranks {runs(found.ranks)}") if found else ("held", "")

    def _pad(self, pad: Padded) -> Block:
        why = f"{words.plural(pad.elements, 'element')} = {pad.value:g}: {pad.reason}"
        x = GEOMETRY.left + self._end * self._unit + 4
        return Block(round(x, 1), GEOMETRY.right - 8, 0, "pad", "padding", why)

    def _block(self, place: int, span: Span, kind: Kind, label: str, why: str) -> Block:
        if turns := self._turns.get(place):
            return self._striped(turns, place, span, Block(0.0, 0.0, place % _PARTS, kind, label, why))
        x = GEOMETRY.left + (self._starts[place] + span[0]) * self._unit
        width = max((span[1] - span[0]) * self._unit, 1.0)
        return Block(round(x, 1), round(width, 1), place % _PARTS, kind, label, why)

    def _striped(self, turns: Turns, place: int, span: Span, block: Block) -> Block:
        """A block among others of its turns, which have the same extent."""
        own, bands = turns.bands.index(place), self._map.bands
        unit = self._unit * sum(bands[each].length for each in turns.bands) / bands[place].length
        start = GEOMETRY.left + self._starts[turns.bands[0]] * self._unit + span[0] * unit
        rounds = _rounds(turns, own, span, bands[place].length)
        each, every = (span[1] - span[0]) * unit / rounds, sum(turns.takes)
        begin, width = start + each * sum(turns.takes[:own]) / every, each * turns.takes[own] / every
        stripes = [(round(begin + number * each, 1), round(max(width, 0.5), 1)) for number in range(rounds)]
        return block._replace(x=round(start, 1), width=round(each * rounds, 1), stripes=stripes, turn=own)


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Blocks of one extent have one label: that of the first names all of them."""
    labels: dict[float, list[str]] = {}
    for block in blocks:
        if block.stripes:
            labels.setdefault(block.x, []).append(block.label)
    called = {x: ", ".join(filter(None, own)) for x, own in labels.items()}
    return [b._replace(label="" if b.turn else called[b.x]) if b.stripes else b for b in blocks]


def _rounds(turns: Turns, own: int, span: Span, length: int) -> int:
    """How many are drawn of so many positions of a band."""
    there = max((span[1] - span[0]) // turns.takes[own], 1)
    return min(there, max(round(_ROUNDS * (span[1] - span[0]) / length), 1))


def _wide(label: str) -> float:
    return len(label) * _CHARACTER + 6
