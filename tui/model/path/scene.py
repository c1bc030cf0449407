"""What every page about something is made from, and the hops that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer.slices.placement import Placement
from tui.model.columns import fitted
from tui.model.line import Line, Role, Span
from tui.model.subject import Subject
from tui.model.tree import Node
from tui.model.wrapped import wrap

HOP = 10
"""Cells of the word at the left that says which hop it is."""


@dataclass(frozen=True)
class Scene:
    """A subject at a number of ranks, for a page of so many columns."""

    subject: Subject
    placement: Placement | None
    rank: int
    width: int
    node: Node | None = None
    """What stands in the tree for it, where it is a group."""

    def hop(self, what: str, *spans: Span) -> Line:
        """`file      model-00001-of-00004.safetensors ...`"""
        return fitted((Span(f"{what:<{HOP}}", "heading"), *spans), self.width)

    def under(self, *spans: Span) -> Line:
        """More of the hop above."""
        return self.hop("", *spans)

    def told(self, text: str, role: Role = "plain", indent: int = 0) -> Iterator[Line]:
        """A text over as many lines as it takes."""
        for piece in wrap(text, self.width - indent):
            yield fitted((Span(" " * indent), Span(piece, role)), self.width)

    def title(self, *spans: Span) -> Sequence[Line]:
        """The first lines of a page."""
        return fitted(spans, self.width), ()
