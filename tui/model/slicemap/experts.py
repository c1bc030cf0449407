"""Experts as a grid: a cell an expert, 256 of them on 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mappings.names import runs
from tracer.slices.picture import PLACED, Cell, Experts, SliceMap
from tui.model.line import Line, Role, Span, Target

STATES: dict[str, tuple[str, Role]] = {
    "whole": ("■", "good"), "partly": ("◧", "warn"), "missing": ("·", "bad"), "twice": ("▣", "bad"),
}  # fmt: skip
RECORDED = {**PLACED, "partly": "only partly recorded", "missing": "not recorded"}
"""The states where a trace lacks its end."""
CHOSEN = "◆"
_GROUP = 8
"""Cells that stand together."""
_NUMBERED = 16
"""Up to so many experts have their numbers beside them."""


def expert_lines(picture: SliceMap, rank: int, width: int) -> Iterator[Line]:
    """The grid as one rank has it, and what is not as it should be."""
    experts = picture.experts
    assert experts is not None
    position = picture.ranks.index(rank)
    chosen = experts.cells[experts.chosen]
    yield (
        Span(f"{len(experts.cells)} experts", "heading"), Span(f"   {CHOSEN} ", "held"),
        Span(f"expert {chosen.number}, drawn below", target=_leads(chosen)),
    )  # fmt: skip
    spans = [_cell(experts, cell, position) for cell in experts.cells]
    yield from _numbered(spans, width) if len(spans) <= _NUMBERED else _grid(spans, width)
    yield from _wrong(experts, position, rank, RECORDED if picture.cut_short else PLACED)


def _leads(cell: Cell) -> Target | None:
    return Target("tensor", cell.tensors[0]) if cell.tensors else None


def _cell(experts: Experts, cell: Cell, position: int) -> Span:
    sign, role = STATES[experts.state(cell, position)]
    if cell.number == experts.chosen and sign == STATES["whole"][0]:
        sign, role = CHOSEN, "held"
    return Span(sign, role, _leads(cell))


def _numbered(spans: Sequence[Span], width: int) -> Iterator[Line]:
    each = len(" 15 ■ ")
    row = max(1, (width - 2) // each)
    for first in range(0, len(spans), row):
        numbered = enumerate(spans[first : first + row], first)
        yield Span("  "), *(piece for n, span in numbered for piece in (Span(f"{n:>3} ", "dim"), span, Span(" ")))


def _grid(spans: Sequence[Span], width: int) -> Iterator[Line]:
    """As many groups a line as fit: a power of two, so that numbers stay easy to find."""
    digits = len(str(len(spans) - 1))
    groups = 1
    while digits + 3 + 2 * groups * (_GROUP + 1) <= width and groups * _GROUP < len(spans):
        groups *= 2
    row = groups * _GROUP
    for first in range(0, len(spans), row):
        line = [Span(f"  {first:>{digits}} ", "dim")]
        for number, span in enumerate(spans[first : first + row]):
            line += [Span(" "), span] if number and number % _GROUP == 0 else [span]
        yield tuple(line)


def _wrong(experts: Experts, position: int, rank: int, words: Mapping[str, str]) -> Iterator[Line]:
    found: dict[str, list[int]] = {}
    for cell in experts.cells:
        found.setdefault(experts.state(cell, position), []).append(cell.number)
    for state, numbers in found.items():
        if state != "whole":
            sign, role = STATES[state]
            yield Span(f"  {sign} ", role), Span(f"{words[state]} on rank {rank}: {runs(numbers)}")
