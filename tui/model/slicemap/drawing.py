"""The picture of a parameter as text: its parts to scale, what a rank holds of them, where that comes from and goes.

Full cells are the rank's own, hatched ones are held by others too, light ones only by others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from textwrap import wrap

from mappings.names import runs
from mappings.views import Shape
from tracer.commands.output import printable
from tracer.report.words import shape
from tracer.slices.order import ordered
from tracer.slices.picture import Band, Share, SliceMap
from tracer.slices.spans import told
from tracer.slices.turns import Turns
from tui.model.columns import cut_start, fitted, left, wide
from tui.model.line import GLYPHS, Line, Role, Span, Target, plain
from tui.model.slicemap.bands import FILLED, PADDED, PARTS, beginning, heights, rows_of
from tui.model.slicemap.experts import expert_lines
from tui.model.slicemap.ranks import led_by, rank_lines

_LEAST, _MOST = 12, 96
"""Columns of the drawing."""
_WIDE = 140
"""Columns of a page on which the table of ranks may stand beside the drawing."""


def map_lines(picture: SliceMap, rank: int, width: int) -> list[Line]:
    """The picture as `rank` sees it."""
    if picture.refused or not picture.ranks:
        told = wrap(printable(picture.refused or "no rank holds it"), max(width - 2, 10))
        return [fitted((Span("✗ " if n == 0 else "  ", "bad"), Span(text)), width) for n, text in enumerate(told)]
    drawing = Drawing(picture, rank if rank in picture.ranks else picture.ranks[0], width)
    return [fitted(line, width) for line in drawing.lines()]


@dataclass(frozen=True)
class Drawing:
    """One picture as one rank sees it, on so many columns."""

    picture: SliceMap
    rank: int
    width: int

    def lines(self) -> Iterator[Line]:
        yield from self._headline()
        if self.picture.experts:
            yield ()
            yield from expert_lines(self.picture, self.rank, self.width)
        yield ()
        if not self.picture.bands and not self.picture.pads:
            yield self._nothing()
            return
        drawn = [*self._box(), self._legend()]
        if self._beside:
            yield from _side_by_side(drawn, [(), *self._table], self.width - self._beside)
            return
        yield from drawn
        if self._table:
            yield from ((), *self._table)

    def _nothing(self) -> Line:
        if self.picture.cut_short:
            return Span(f"{GLYPHS['unsure']} ", "unsure"), Span("nothing of it was recorded: the trace was cut short")
        return Span(f"{GLYPHS['bad']} ", "bad"), Span("nothing was placed in it")

    def _headline(self) -> Iterator[Line]:
        tied_to = self.picture.tied_to
        if tied_to:
            to = Span(printable(tied_to), "name", Target("param", tied_to))
            yield Span("= tied to ", "derived"), to, Span(", the same storage", "derived")
        whole, own = self.picture.whole_shape, self.picture.shape(self.rank)
        experts = self.picture.experts
        each = f"{len(experts.cells)} experts of " if experts else ""
        what = "one number," if self.picture.number else shape(whole[self.first :]) if whole else "a parameter"
        size = Span(what, "number")
        yield Span(each), size, Span(f"{', each' if experts else ''} {self._how()}"), *self._on_rank(whole, own)
        if self.picture.known:
            yield (Span(f"{GLYPHS['unsure']} {self.picture.known}", "unsure"),)

    def _how(self) -> str:
        tp, cut = self.picture.tp, self.picture.cut
        if not self.picture.bands and not self.picture.pads:
            return self.picture.lacking
        if tp == 1:
            lacking = any(band.gaps for band in self.picture.bands)
            done = "recorded" if self.picture.cut_short else "on the only rank"
            return f"not all of it {done}" if lacking else "whole on the only rank"
        if self.picture.whole:
            return "whole on every rank: replicated, not cut"
        if cut is not None:
            return f"cut by {self.word(cut, False, self._dims)} over {tp} ranks"
        holding = self.picture.holding
        if holding and not self.picture.planned:
            return f"on rank {runs(holding)}"
        if holding and any(band.lost for band in self.picture.bands):
            return f"not cut, {'recorded' if self.picture.cut_short else 'but'} on rank {runs(holding)} alone"
        return f"not cut: it is on rank {runs(holding)} alone" if holding else self.picture.lacking

    def _on_rank(self, whole: Shape | None, own: Shape) -> Line:
        if whole == own or self.picture.number:
            return ()
        number = self._rank(self.rank, f"rank {self.rank}")
        return Span(": "), Span(shape(own[self.first :]), "number"), Span(" on "), number

    def _rank(self, rank: int, text: str) -> Span:
        return led_by(rank, rank == self.rank, text)

    # --- words ---

    @cached_property
    def first(self) -> int:
        """The parameter's first dimension that is not its experts'."""
        return 1 if self.picture.experts else 0

    @cached_property
    def _dims(self) -> int:
        """Dimensions of what is drawn: the parameter, or one of its experts."""
        return max(len(self.picture.shapes[0]) - self.first, 1)

    def word(self, dim: int, own: bool, dims: int = 2) -> str:
        """What the positions along a dimension are called: of the parameter, or (`own`) of a tensor as it is."""
        dim = dim if own else dim - self.first
        return ("rows", "columns")[dim] if dim < 2 and dims > 1 else "elements" if dims == 1 else f"dimension {dim}"

    def _source(self, band: Band) -> str:
        stacked = self.first if len(band.shape) == len(self.picture.shapes[0]) else 0
        return self.word(band.along - stacked, True, len(band.shape) - stacked)

    def _landing(self, band: Band) -> str:
        return self.word(band.lands, False, self._dims)

    def _where(self, band: Band, share: Share) -> str:
        """`rows 2048:4096 -> 0:2048`."""
        if not share.held:
            return f"nothing of it {'recorded ' if self.picture.cut_short else ''}on rank {share.rank}"
        source, landing = self._source(band), self._landing(band)
        if self.picture.number:
            return "one number" if band.shape == (1,) else f"{source} {told(share.source)} -> one number"
        to = told(share.landing) if source == landing else f"{landing} {told(share.landing)}"
        order = f" permuted, {ordered(share.order)}" if share.order else ""
        return f"{source} {told(share.source)}{order} -> {to}"

    def _copies(self, band: Band) -> str:
        """With whom the rank has what it holds of a band."""
        own = {s.ranks for s in band.replicated if self.rank in s.ranks}
        ranks = sorted({rank for found in own for rank in found})
        return f"replicated on ranks {runs(ranks)}" if ranks else ""

    # --- the box ---

    def _labels(self, band: Band) -> list[Line]:
        name = Span(cut_start(printable(band.tensor), self._room), "name", source_of(band))
        return [(name,), *((text,) for text in self._told(band))]

    def _labels_of(self, turns: Turns) -> Iterator[Line]:
        """The same of bands that take turns, each with its part, since it stands beside lines of all of them."""
        above = ""
        for band in map(self.picture.bands.__getitem__, turns.bands):
            name, *told = self._labels(band)
            yield from [name] if band.tensor != above else []
            yield from ((Span(_called(band), "dim"), *spans) for spans in told)
            above = band.tensor
        parts = ", ".join(printable(self.picture.bands[number].part) for number in turns.bands)
        many = self._landing(self.picture.bands[turns.bands[0]])
        yield (Span(f"{parts} in turn: {turns.words(_one_of(many), many)}", "strong"),)

    def _told(self, band: Band) -> list[Span]:
        """What is said of a band below the name of its tensor."""
        if band.absent:
            where = f"{band.length} {self._source(band)} on no rank"
            return [Span(f"{GLYPHS['bad']} no source: it is not there", "bad"), Span(where, "bad")]
        share = band.share(self.rank)
        copies = self._copies(band)
        texts = [Span(self._where(band, share)) if share else Span("not on this rank"), Span(copies, "shared")]
        if band.op:
            texts.append(Span(f"{GLYPHS['conversion']} {printable(band.op)}", "conversion"))
        lost = sum(gap.stop - gap.start for gap in band.gaps)
        role: Role = "unsure" if self.picture.cut_short else "bad"
        if band.lost:
            done = "recorded " if self.picture.cut_short else ""
            texts.append(Span(f"{GLYPHS[role]} not all {done}that is planned for rank {runs(band.lost)}", role))
        if lost:
            texts.append(Span(f"{GLYPHS[role]} {lost} {self._source(band)} {self.picture.lacking}", role))
        return [text for text in texts if text.text]

    @cached_property
    def _gutter(self) -> tuple[int, int]:
        """Cells for the names of parts, and for the numbers of ranks."""
        parts = max((wide(band.part) for band in self.picture.bands), default=0)
        parts = max(parts, len("padding") if self.picture.pads else 0)
        bands = zip(self.picture.bands, self._heights, strict=True)
        begins = [self._begins(band, at, lines) for band, lines in bands for at in range(lines)]
        begins += [(Span(dashed(own)),) for own in self._padded.values()]
        return min(parts, 10), max(len(plain(ranks)) for ranks in begins)

    @cached_property
    def _columns(self) -> int:
        """Cells of the drawing: what names and ranges leave, and no wider than is good to look at."""
        texts = [wide(printable(band.tensor)) for band in self.picture.bands]
        texts += [len(self._where(b, share)) for b in self.picture.bands if (share := b.share(self.rank))]
        woven = [self.picture.bands[number] for turns in self._woven for number in turns.bands]
        texts += [wide(_called(b)) + len(self._where(b, share)) for b in woven if (share := b.share(self.rank))]
        fixed = sum(self._gutter) + 6
        if self._dims == 1:
            return _LEAST
        room = max(min(self.width - self._beside - fixed - max(texts, default=0), self.width // 2, _MOST), _LEAST)
        across = (len(band.segments) for band in self.picture.bands if band.cut and band.lands > self.first)
        # Shares that end with a cell are easier to compare.
        shares = max(across, default=1)
        return room - room % shares if shares <= room else room

    @cached_property
    def _beside(self) -> int:
        """Cells for the table at the right edge, where there is room for it; else it stands below the drawing."""
        room = max((sum(wide(span.text) for span in line) for line in self._table), default=-2) + 2
        return room if self.width >= _WIDE and room <= self.width // 3 else 0

    @cached_property
    def _room(self) -> int:
        """Cells for the words about each band."""
        return max(self.width - self._beside - sum(self._gutter) - self._columns - 6, 8)

    def _box(self) -> Iterator[Line]:
        yield self._edge("╭", "╮", self._across())
        blocks = [block for turns in self.picture.turns for block in self._blocks(turns)]
        for number, block in enumerate([*blocks, *self._padding()]):
            if number:
                yield self._edge("├", "┤")
            yield from block
        yield self._edge("╰", "╯")

    def _edge(self, start: str, end: str, text: str = "") -> Line:
        inner = f"─ {text} " if text and len(text) + 3 <= self._columns else ""
        indent = " " * (sum(self._gutter) + 2)
        return (Span(f"{indent}{start}{inner}{'─' * (self._columns - len(inner))}{end}", "dim"),)

    def _across(self) -> str:
        own = self.picture.whole_shape or self.picture.shape(self.rank)
        return f"{own[self.first + 1]:,} columns" if len(own) - self.first == 2 else ""

    @cached_property
    def _woven(self) -> list[Turns]:
        """Bands that take turns downwards; across there is no line for each."""
        return [t for t in self.picture.turns if t.takes and self.picture.bands[t.bands[0]].lands == self.first]

    def _blocks(self, turns: Turns) -> Iterator[list[Line]]:
        if turns not in self._woven:
            yield from map(self._band, turns.bands)
            return
        each = [self._rows(number, named=True) for number in turns.bands]
        rows = [row for turn in zip(*each, strict=True) for row in turn]
        yield [(*row, *label) for row, label in zip_longest(rows, self._labels_of(turns), fillvalue=())]

    def _band(self, number: int) -> list[Line]:
        band = self.picture.bands[number]
        labels = zip_longest(self._rows(number), self._labels(band), fillvalue=())
        made = [(*row, *label) for row, label in labels]
        ruled = band.lands > self.first and band.cut
        return [self._row(Span(""), (), self._ruler(band)), *made] if ruled else made

    def _rows(self, number: int, named: bool = False) -> list[Line]:
        """The lines of a band without what is said beside them; its part stands before the first, or before each."""
        band, lines = self.picture.bands[number], self._heights[number]
        across = band.lands > self.first
        name = Span(printable(band.part), PARTS[number % len(PARTS)], source_of(band))
        return [
            self._row(name if named or at == 0 else Span(""), () if across else self._begins(band, at, lines), row)
            for at, row in enumerate(rows_of(band, number, self.rank, lines, self._columns, across))
        ]  # fmt: skip

    @cached_property
    def _heights(self) -> list[int]:
        bands = self.picture.bands
        woven = {number for turns in self._woven for number in turns.bands}
        least = [1 + len(self._told(band)) + (number in woven) for number, band in enumerate(bands)]
        downwards = [band for band in bands if band.lands == self.first and (band.cut or len(bands) > 1)]
        if not downwards:
            return [max(own, 6 if band.cut else 3) for own, band in zip(least, bands, strict=True)]
        total = 12 if self.width < 120 else 16
        found = heights(bands, least, total if self._dims > 1 else total // 2)
        for turns in self._woven:
            most = max(found[number] for number in turns.bands)
            found[turns.bands[0] : turns.bands[-1] + 1] = [most] * len(turns.bands)
        return found

    def _begins(self, band: Band, at: int, lines: int) -> Line:
        """The ranks whose share begins in a line; the chosen one where it is among them."""
        found = beginning(band, at, lines)
        if not found or self.picture.tp == 1:
            return ()
        ranks = sorted({rank for own in found for rank in own})
        return (self._rank(self._lit(ranks), dashed(ranks)),)

    def _ruler(self, band: Band) -> Line:
        """The numbers of the ranks above the columns that they hold."""
        spans, used = list[Span](), 0
        for segment in band.segments:
            at, text = segment.start * self._columns // band.length, dashed(segment.ranks)
            if segment.ranks and at >= used and at + len(text) < self._columns:
                spans += [Span(" " * (at - used)), self._rank(self._lit(segment.ranks), text), Span(" ")]
                used = at + len(text) + 1
        return (*spans, Span(" " * (self._columns - used)))

    def _lit(self, ranks: Sequence[int]) -> int:
        return self.rank if self.rank in ranks else ranks[0]

    def _row(self, part: Span, ranks: Line, cells: Line, label: Line = ()) -> Line:
        parts, numbers = self._gutter
        gap = numbers - wide(plain(ranks))
        beside = (left(part, parts), Span(" " * (gap + 1)), *ranks, Span(" "))
        return (*beside, Span("│", "dim"), *cells, Span("│ ", "dim"), *label)

    @cached_property
    def _padded(self) -> dict[tuple[float, str], list[int]]:
        """The ranks that have padding, by what fills it and why."""
        found: dict[tuple[float, str], list[int]] = {}
        for pad in self.picture.pads:
            found.setdefault((pad.value, pad.reason), []).append(pad.rank)
        return found

    def _padding(self) -> Iterator[list[Line]]:
        for (value, reason), ranks in self._padded.items():
            pads = (pad for pad in self.picture.pads if (pad.value, pad.reason) == (value, reason))
            own = next((pad for pad in pads if pad.rank == self.rank), None)
            hatch = Span(PADDED * self._columns, "pad" if own else "dim")
            where = f"on rank{'s' if len(ranks) > 1 else ''} {runs(ranks)}, filled with {value:g}"
            if own:
                where = f"-> {self.word(own.lands, False, self._dims)} {told(own.landing)} = {value:g}"
            labels = [Span(where), *(Span(text, "dim") for text in wrap(printable(reason), self._room))]
            begin = (self._rank(self._lit(ranks), dashed(ranks)),)
            yield [
                self._row(Span("padding" if at == 0 else "", "pad"), begin if at == 0 else (), (hatch,), (label,))
                for at, label in enumerate(labels)
            ]  # fmt: skip

    # --- below it ---

    def _legend(self) -> Line:
        bands = self.picture.bands
        shared = any(self.rank in s.ranks for band in bands for s in band.replicated)
        alone = any(s.ranks == (self.rank,) for band in bands for s in band.segments)
        others = any(s.ranks and self.rank not in s.ranks for band in bands for s in band.segments)
        signs: list[tuple[bool, str, Role, str]] = [
            (alone, FILLED["held"], "part0", f"rank {self.rank}"), (shared, FILLED["shared"], "part0", "replicated"),
            (others, FILLED["others"], "part0", "other ranks"), (bool(self.picture.pads), PADDED, "pad", "padding"),
            (any(band.gaps for band in bands), FILLED["gap"], "bad", self.picture.lacking),
        ]  # fmt: skip
        spans = [Span(" " * (sum(self._gutter) + 3))]
        for there, sign, role, word in signs:
            if there:
                spans += [Span(sign * 2, role), Span(f" {word}   ", "dim")]
        return tuple(spans)

    @cached_property
    def _table(self) -> list[Line]:
        return list(rank_lines(self.picture, self.rank))


def _side_by_side(first: Sequence[Line], second: Sequence[Line], at: int) -> Iterator[Line]:
    """Lines with others beside them, which begin at column `at`."""
    for start, end in zip_longest(first, second, fillvalue=()):
        kept = fitted(start, at)
        yield (*kept, Span(" " * (at - sum(wide(span.text) for span in kept))), *end) if end else kept


def source_of(band: Band) -> Target | None:
    return None if band.absent else Target("tensor", band.tensor)


def dashed(ranks: Sequence[int]) -> str:
    """`0`, `0-3`, `0,4`."""
    return runs(ranks).replace("..", "-").replace(", ", ",")


def _called(band: Band) -> str:
    return f"{printable(band.part)}: "


def _one_of(positions: str) -> str:
    """`row` of `rows`."""
    return positions.removesuffix("s")
