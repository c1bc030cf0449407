"""Lines of a page as data: spans of text with a role, and where they lead. Colours are the theme's affair.

A role is never all that tells two things apart: glyphs and words do, so that a page can be read without colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

Heat: TypeAlias = Literal["heat0", "heat1", "heat2", "heat3", "heat4", "heat5", "heat6", "heat7"]
"""Magnitudes, from the smallest to the largest."""
Role: TypeAlias = Literal[
    "plain", "strong", "dim", "heading", "name", "number", "inferred",
    "good", "bad", "warn", "unsure", "derived", "conversion",
    "part0", "part1", "part2", "part3", "part4", "part5", "held", "pad", "shared", "key",
    Heat,
]  # fmt: skip
"""What a span is: `good` proven, `bad` an error, `warn` a warning, `unsure` not checked, `derived` an alias or a view,
`conversion` a value that was transformed, `inferred` not measured; `partN` the Nth part of a fused parameter."""

Kind: TypeAlias = Literal["tensor", "param", "row", "file", "finding", "field", "group", "rank", "page", "key"]

GLYPHS: dict[Role, str] = {
    "good": "✓", "bad": "✗", "warn": "!", "unsure": "·", "derived": "=", "conversion": "⚙", "inferred": "≈",
}  # fmt: skip


class Target(NamedTuple):
    """Where a span leads."""

    kind: Kind
    name: str
    """A tensor, a parameter, a row's id, a file, the number of a finding, a field of config.json, a group of the tree,
    a rank, one of the pages, or a key."""


class Span(NamedTuple):
    """A run of characters of one role."""

    text: str
    role: Role = "plain"
    target: Target | None = None
    under: Role | None = None
    """The role whose colour is behind it."""


Line: TypeAlias = tuple[Span, ...]


class Page(Protocol):
    """What a sheet shows."""

    def lines(self, width: int) -> Sequence[Line]:
        """All lines for a sheet of so many columns; only those in sight are asked for, so that they may be lazy."""
        ...

    def heading(self, width: int) -> Line | None:
        """A line that stays at the top, such as the names of columns."""
        ...


@dataclass(frozen=True)
class Text:
    """A page that is made anew for each width."""

    make: Callable[[int], Sequence[Line]]

    def lines(self, width: int) -> Sequence[Line]:
        return self.make(width)

    def heading(self, width: int) -> Line | None:
        return None


def line(*parts: Span | str) -> Line:
    """A line of spans and plain texts."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(spans: Iterable[Span]) -> str:
    """What a line says."""
    return "".join(span.text for span in spans)


def target(spans: Iterable[Span]) -> Target | None:
    """Where Enter on a line leads: to the first of its targets."""
    return next((span.target for span in spans if span.target), None)
