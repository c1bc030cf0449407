"""The line of pages: each with the key that leads to it, a mark before the one that is open."""

from __future__ import annotations

from collections.abc import Sequence

from tui.model.columns import fitted
from tui.model.line import Line, Span, Target


def tabs(names: Sequence[str], here: str, width: int) -> Line:
    """In full where there is room; else the names of the others give way to their keys."""
    full = tuple(_tab(number, name, name == here, True) for number, name in enumerate(names, 1))
    if sum(len(span.text) for span in full) <= width:
        return full
    return fitted((_tab(number, name, name == here, name == here) for number, name in enumerate(names, 1)), width)


def _tab(number: int, name: str, here: bool, named: bool) -> Span:
    text = f"{number} {name}" if named else str(number)
    return Span(f" ▸{text}" if here else f" {text}", "held" if here else "dim", Target("page", name))
