"""What each rank holds of each part, a line a rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mappings.names import runs
from tracer.commands.output import printable
from tracer.report.words import plural
from tracer.slices.picture import Band, SliceMap
from tracer.slices.spans import told
from tui.model.columns import left
from tui.model.line import Line, Span, Target
from tui.model.slicemap.bands import FILLED, PADDED, PARTS

MOST_RANKS = 128
"""That have a line of their own; of more those around the chosen one."""


def rank_lines(picture: SliceMap, rank: int) -> Iterator[Line]:
    """In positions of the part; nothing where all ranks hold the same."""
    if len(picture.ranks) > 1 and not picture.whole:
        yield from _Ranks(picture, rank).lines()


def led_by(rank: int, chosen: bool, text: str) -> Span:
    """A text that leads to the picture as that rank sees it."""
    return Span(text, "held" if chosen else "plain", Target("rank", str(rank)))


class _Ranks:
    def __init__(self, picture: SliceMap, rank: int) -> None:
        self.picture, self.rank = picture, rank
        self.shares = [{share.rank: share for share in band.shares} for band in picture.bands]
        self.copied = [{rank for s in band.replicated for rank in s.ranks} for band in picture.bands]

    def lines(self) -> Iterator[Line]:
        shown = self._shown()
        cells = {rank: [self._cell(number, rank) for number in range(len(self.shares))] for rank in shown}
        widths = [max(len(column[i].text) for column in cells.values()) for i in range(len(self.shares))]
        for rank in shown:
            mark = Span("▶ " if rank == self.rank else "  ", "held")
            number = led_by(rank, rank == self.rank, f"rank {rank}".ljust(5 + len(str(shown[-1]))))
            held = (left(cell, room) for cell, room in zip(cells[rank], widths, strict=True))
            yield mark, number, *(span for cell in held for span in (Span("  "), cell)), *self._padding(rank)
        yield from self._rest(sorted(set(self.picture.ranks) - set(shown)))

    def _shown(self) -> list[int]:
        ranks = list(self.picture.ranks)
        first = max(0, min(ranks.index(self.rank) - MOST_RANKS // 2, len(ranks) - MOST_RANKS))
        return ranks[first : first + MOST_RANKS]

    def _rest(self, hidden: Sequence[int]) -> Iterator[Line]:
        """The others: which, and what they hold where the first and the last of it tell all."""
        for block in _blocks(hidden):
            rule = [self._rule(number, block) for number in range(len(self.shares))]
            equal = all(rule) and not any(pad.rank in block for pad in self.picture.pads)
            which = f"  … ranks {runs(block)}{':' if equal else ''}"
            spans = [Span("  " + text, PARTS[n % len(PARTS)]) for n, text in enumerate(rule)] if equal else []
            end = Span("  in equal steps" if equal else f"  {plural(len(block), 'rank')} without a line", "dim")
            yield Span(which, "dim", Target("rank", str(block[0]))), *spans, end

    def _rule(self, number: int, block: Sequence[int]) -> str:
        """`q 0:128 .. 3968:4096`; empty where there is no such rule."""
        held = [share.held for rank in block if (share := self.shares[number].get(rank))]
        if len(held) < len(block) or any(len(own) != 1 for own in held):
            return ""
        starts, lengths = [own[0][0] for own in held], {own[0][1] - own[0][0] for own in held}
        if len(lengths) > 1 or len({b - a for a, b in pairwise(starts)}) > 1:
            return ""
        return f"{_part(self.picture.bands[number])}{told(held[0])} .. {told(held[-1])}"

    def _cell(self, number: int, rank: int) -> Span:
        part, share = _part(self.picture.bands[number]), self.shares[number].get(rank)
        if self.picture.bands[number].absent:
            return Span(f"{part}no source", "bad")
        if share is None or not share.held:
            return Span(f"{part}{'not recorded' if self.picture.cut_short else 'nothing'}", "dim")
        copied = f" {FILLED['shared']}" if rank in self.copied[number] else ""
        return Span(f"{part}{told(share.held)}{copied}", PARTS[number % len(PARTS)])

    def _padding(self, rank: int) -> Line:
        room = sum(b - a for pad in self.picture.pads if pad.rank == rank for a, b in pad.landing)
        return (Span(f"  {PADDED} {plural(room, 'position')} of padding", "pad"),) if room else ()


def _part(band: Band) -> str:
    return f"{printable(band.part)} " if band.part else ""


def _blocks(ranks: Sequence[int]) -> Iterator[list[int]]:
    """Ranks that follow each other."""
    block: list[int] = []
    for rank in ranks:
        if block and rank != block[-1] + 1:
            yield block
            block = []
        block.append(rank)
    if block:
        yield block
