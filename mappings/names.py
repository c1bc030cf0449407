"""Names with holes: `model.layers.{layer}.mlp.experts.{expert}.w1.weight` <-> (layer, expert).

A hole is a whole dot-segment and names an axis, `{layer}`, or an axis restricted to a domain, `{layer:moe}`.
There are no regular expressions and no substring tests, so every checkpoint name can be grepped to its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

Indices: TypeAlias = tuple[int, ...]
Domains: TypeAlias = Mapping[str, Sequence[int]]
HOLE = "{}"
ANYTHING = "**"
"""The last segment of a Skip that drops everything below a name."""


@dataclass(frozen=True)
class Pattern:
    """A literal name with holes."""

    text: str

    @cached_property
    def holes(self) -> tuple[str, ...]:
        """The domains of the holes in order: `("layer:moe", "expert")`."""
        return tuple(s[1:-1] for s in self.text.split(".") if s.startswith("{") and s.endswith("}"))

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The axes of the holes in order: `("layer", "expert")`."""
        return tuple(hole.partition(":")[0] for hole in self.holes)

    @cached_property
    def template(self) -> str:
        """The name with every hole blank."""
        return ".".join(HOLE if s.startswith("{") else s for s in self.text.split("."))

    def name(self, indices: Indices) -> str:
        """The name at these positions of the holes."""
        return self.template.format(*indices)


def blank(name: str) -> tuple[str, Indices]:
    """A checkpoint name's template and the integers in its holes; `07` is no integer here, as nobody writes it.

    >>> blank("model.layers.3.mlp.experts.12.w1.weight")
    ('model.layers.{}.mlp.experts.{}.w1.weight', (3, 12))
    """
    segments = name.split(".")
    indices: list[int] = []
    for position, segment in enumerate(segments):
        if is_index(segment):
            indices.append(int(segment))
            segments[position] = HOLE
    return ".".join(segments), tuple(indices)


def is_index(segment: str) -> bool:
    """Whether a dot-segment is a canonical non-negative integer."""
    return segment.isascii() and segment.isdigit() and (segment == "0" or segment[0] != "0") and len(segment) < 10


def runs(indices: Iterable[int]) -> str:
    """Positions in the spelling of the reports: `0..39 except 7, 19`, `3`, `0, 2..5`."""
    found = sorted(set(indices))
    if not found:
        return ""
    gaps = sorted(set(range(found[0], found[-1] + 1)).difference(found))
    if gaps and len(gaps) <= 4 and len(found) > 2 * len(gaps):
        return f"{found[0]}..{found[-1]} except {_ranges(gaps)}"
    return _ranges(found)


def _ranges(found: Sequence[int]) -> str:
    pieces: list[list[int]] = []
    for index in found:
        if pieces and index == pieces[-1][-1] + 1:
            pieces[-1].append(index)
        else:
            pieces.append([index])
    return ", ".join(_span(piece) for piece in pieces)


def _span(piece: Sequence[int]) -> str:
    if len(piece) == 1:
        return str(piece[0])
    return f"{piece[0]}, {piece[1]}" if len(piece) == 2 else f"{piece[0]}..{piece[-1]}"


def collapse(names: Iterable[str]) -> list[tuple[str, int]]:
    """Names folded to templates with the positions they cover, and how many each stands for, in first-seen order.

    >>> collapse(["h.0.ln.weight", "h.1.ln.weight", "wte.weight"])
    [('h.{0, 1}.ln.weight', 2), ('wte.weight', 1)]
    """
    groups: dict[str, list[Indices]] = {}
    for name in names:
        template, indices = blank(name)
        groups.setdefault(template, []).append(indices)
    return [(fold(template, indices), len(indices)) for template, indices in groups.items()]


def fold(template: str, found: Sequence[Indices]) -> str:
    """A template with its holes filled by the positions found: `h.{0..31}.ln.weight`."""
    filled = [_hole(column) for column in zip(*found, strict=True)]
    return template.format(*filled)


def _hole(column: Sequence[int]) -> str:
    distinct = set(column)
    return str(column[0]) if len(distinct) == 1 else "{" + runs(distinct) + "}"
