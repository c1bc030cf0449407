"""Slice maps as rows of rectangles: the parameter with its parts, and below it what each rank holds of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mappings.names import blank, runs
from tracer.report import words
from tracer.report.html.ranks import MOST, as_planned
from tracer.report.html.view import Block, Kind, Picture, Row
from tracer.report.paths import Group
from tracer.session import Result
from tracer.slices.observed import Observed
from tracer.slices.picture import Band, Experts, Padded, SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.placement import Placement
from tracer.slices.spans import Segment, Span, pieces

_PARTS = 6
"""Colours."""
_MOST_BLOCKS = 32
"""Of one part on one rank: where parts are interleaved there are as many as heads."""
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
_END = Block(float(GEOMETRY.width), 0.0, 0, "held", "", "")


class Pictures:
    """Draws one parameter of each group: the first of its layers, or one that something is wrong with."""

    def __init__(self, result: Result) -> None:
        plan = result.prepared.plan
        tp = result.prepared.request.tp
        self._places: Placement = Placed(result.prepared, tp) if as_planned(result) else Observed(result.store, plan)
        self._ranks = result.prepared.request.ranks[:MOST]
        self._names: dict[str, str] = {}
        wrong = {finding.subject for finding in result.findings if finding.severity == "error"}
        for name, _ in plan.params():
            template = blank(name)[0]
            if template not in self._names or (name in wrong and self._names[template] not in wrong):
                self._names[template] = name

    def of(self, group: Group) -> Picture | None:
        """None where every rank holds all of it and there is but one part."""
        name = self._names.get(group.template)
        if name is None:
            return None
        return drawn(picture(self._places, name), self._ranks)


def drawn(map: SliceMap, ranks: Sequence[int]) -> Picture | None:
    """The rows of a picture, with those ranks that it has among `ranks`."""
    if map.refused:
        return Picture(map.param, [], [f"not drawn: {map.refused}"])
    if not map.bands or (map.whole and len(map.bands) == 1):
        return None
    scale = _Scale(map)
    rows = [Row("whole", [scale.whole(place) for place in range(len(map.bands))])]
    if not map.whole:
        rows += [Row(f"rank {rank}", list(scale.rank(rank))) for rank in map.ranks if rank in ranks]
    return Picture(map.param, rows, list(_notes(map)))


def _notes(map: SliceMap) -> Iterator[str]:
    if map.whole:
        yield "every rank holds all of it"
    elif any(band.replicated for band in map.bands):
        yield "hatched: several ranks hold the same"
    if any(len(share.held) > _MOST_BLOCKS for band in map.bands for share in band.shares):
        yield "striped: the rank holds pieces of it"
    unwritten = [band for band in map.bands if band.gaps and not any(share.held for share in band.shares)]
    if any(band.gaps and band not in unwritten for band in map.bands):
        yield "crossed: no rank holds it"
    yield from (f"{band.part or 'all of it'}: no rank has written any of it" for band in unwritten)
    for reason, value in dict.fromkeys((pad.reason, pad.value) for pad in map.pads):
        yield f"dotted: {reason}, {value:g}"
    if map.experts:
        yield _experts(map.experts, map.ranks)


def _experts(experts: Experts, ranks: Sequence[int]) -> str:
    odd = [
        f"expert {cell.number} {state} on rank {rank}"
        for cell in experts.cells for place, rank in enumerate(ranks)
        if (state := experts.state(cell, place)) != "whole"
    ]  # fmt: skip
    told = f"expert {experts.chosen} of {len(experts.cells)}"
    if not odd:
        return f"{told}, which are all alike"
    return f"{told}; {', '.join(odd[:4])}{f' and {len(odd) - 4} more' if len(odd) > 4 else ''}"


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

    def whole(self, place: int) -> Block:
        """A band of the parameter."""
        band = self._map.bands[place]
        label = f"{band.part} {band.length}".strip()
        block = self._block(place, (0, band.length), "held", label, f"{label} from {band.tensor}")
        return block if _wide(label) <= block.width else block._replace(label="")

    def rank(self, rank: int) -> Iterator[Block]:
        """What a rank holds, labelled where there is room, in the block or beside it."""
        blocks = list(self._blocks(rank))
        ends = (block.x for block in [*blocks[1:], _END])
        for block, end in zip(blocks, ends, strict=False):
            inside = _wide(block.label) <= block.width
            beside = not inside and block.width + _wide(block.label) <= end - block.x
            yield block._replace(label=block.label if inside or beside else "", beside=beside)

    def _blocks(self, rank: int) -> Iterator[Block]:
        """What a rank holds, what nobody does, and what is filled by rule."""
        for place, band in enumerate(self._map.bands):
            share = band.share(rank)
            if share and share.held:
                yield from self._held(place, band, share.held, share.source)
            for gap in band.gaps[:_MOST_BLOCKS]:
                told = f"{band.part} {gap.start}:{gap.stop} no rank".strip()
                yield self._block(place, (gap.start, gap.stop), "gap", "", told)
        for pad in self._map.pads:
            if pad.rank == rank:
                yield self._pad(pad)

    def _held(self, place: int, band: Band, held: Sequence[Span], source: Sequence[Span]) -> Iterator[Block]:
        """What a rank holds of a band; it is told by where it lies in the tensor."""
        if len(held) > _MOST_BLOCKS:
            told = f"{band.part} {_told(source)}".strip()
            yield self._block(place, (held[0][0], held[-1][1]), "scattered", told, f"{told} of {band.tensor}")
            return
        for number, span in enumerate(held):
            own = source[number : number + 1] if len(source) == len(held) else source
            told = f"{band.part} {_told(own)}".strip()
            kind, who = self._shared(band.replicated, span)
            yield self._block(place, span, kind, told, f"{told} of {band.tensor}{who}")

    def _shared(self, replicated: Sequence[Segment], span: Span) -> tuple[Kind, str]:
        found = next((each for each in replicated if each.start < span[1] and span[0] < each.stop), None)
        return ("shared", f", held by ranks {runs(found.ranks)}") if found else ("held", "")

    def _pad(self, pad: Padded) -> Block:
        told = f"{words.plural(pad.elements, 'element')} = {pad.value:g}: {pad.reason}"
        x = GEOMETRY.left + self._end * self._unit + 4
        return Block(round(x, 1), GEOMETRY.right - 8, 0, "pad", "padding", told)

    def _block(self, place: int, span: Span, kind: Kind, label: str, told: str) -> Block:
        x = GEOMETRY.left + (self._starts[place] + span[0]) * self._unit
        width = max((span[1] - span[0]) * self._unit, 1.0)
        return Block(round(x, 1), round(width, 1), place % _PARTS, kind, label, told)


def _told(source: Sequence[Span]) -> str:
    """`0:64`, `0:64 x8 every 192`."""
    found = pieces(source)
    if found is None:
        return f"{source[0][0]}:{source[-1][1]} in {len(source)} pieces"
    start, stop = found.first
    return f"{start}:{stop} x{found.times} every {found.every}" if found.times > 1 else f"{start}:{stop}"


def _wide(label: str) -> float:
    return len(label) * _CHARACTER + 6
