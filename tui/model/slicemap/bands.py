"""The drawing of one band: cells to scale, what a rank holds of it full, what others hold light.

Bands that are divided by rows are drawn downwards, half a cell at a time; those divided by columns are drawn across.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, TypeAlias

from tracer.slices.picture import Band
from tracer.slices.spans import Span as Positions
from tui.model.line import Line, Role, Span

State: TypeAlias = Literal["held", "shared", "others", "gap"]

FILLED: dict[State, str] = {"held": "█", "shared": "▒", "others": "░", "gap": "╳"}
PADDED = "╱"
_DOWN, _ACROSS = "▀▄", "▌▐"
"""A cell of which only the first half is held, or only the second."""
PARTS: tuple[Role, ...] = ("part0", "part1", "part2", "part3", "part4", "part5")


class Halves(NamedTuple):
    """What becomes of each half of each cell along a band."""

    states: tuple[State, ...]

    def cells(self, across: bool) -> list[str]:
        """One character a cell."""
        pairs = zip(self.states[::2], self.states[1::2], strict=True)
        return [_character(first, second, _ACROSS if across else _DOWN) for first, second in pairs]


def _character(first: State, second: State, half: str) -> str:
    if first == second:
        return FILLED[first]
    if {first, second} == {"held", "others"}:
        return half[0] if first == "held" else half[1]
    return FILLED[next(state for state in ("gap", "shared", "held") if state in (first, second))]


def halves(band: Band, rank: int, cells: int) -> Halves:
    """A band on so many cells as one rank sees it; whatever is there is at least half a cell."""
    states: list[State] = ["others"] * (2 * cells)
    own = [segment for segment in band.segments if rank in segment.ranks]
    _fill(states, "gap", ((s.start, s.stop) for s in band.gaps), band.length)
    _fill(states, "held", ((s.start, s.stop) for s in own if len(s.ranks) == 1), band.length)
    _fill(states, "shared", ((s.start, s.stop) for s in own if len(s.ranks) > 1), band.length)
    return Halves(tuple(states))


def _fill(states: list[State], state: State, found: Iterable[Positions], length: int) -> None:
    for start, stop in found:
        first = start * len(states) // length
        last = max(stop * len(states) // length, first + 1)
        states[first:last] = [state] * (last - first)


def heights(bands: Sequence[Band], least: Sequence[int], total: int) -> list[int]:
    """Lines for bands: to scale, where that leaves each what it needs, and rather such that shares end with a line."""
    whole = sum(band.length for band in bands) or 1
    scale = (max(own, round(band.length * total / whole)) for own, band in zip(least, bands, strict=True))
    return [_even(lines, len(band.segments)) for lines, band in zip(scale, bands, strict=True)]


def _even(lines: int, shares: int) -> int:
    """The next multiple of the shares, or of two of them, if it is not far."""
    for each in (shares, -(-shares // 2)):
        even = -(-lines // each) * each
        if 2 * even <= 3 * lines:
            return even
    return lines


def rows_of(band: Band, number: int, rank: int, lines: int, width: int, across: bool) -> list[Line]:
    """The lines of a band, without what stands beside them."""
    role = PARTS[number % len(PARTS)]
    if across:
        cells = halves(band, rank, width).cells(across=True)
        return [_row(cells, role)] * lines
    return [_row([character] * width, role) for character in halves(band, rank, lines).cells(across=False)]


def _row(cells: Sequence[str], role: Role) -> Line:
    """Cells of one line, neighbours that are alike in one span."""
    found = ((character, len(list(same))) for character, same in groupby(cells))
    return tuple(Span(character * count, "bad" if character == FILLED["gap"] else role) for character, count in found)


def beginning(band: Band, cell: int, cells: int) -> list[tuple[int, ...]]:
    """The ranks whose positions begin in a cell."""
    return [s.ranks for s in band.segments if s.ranks and s.start * cells // band.length == cell]
