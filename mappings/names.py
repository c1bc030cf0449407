"""Names with holes: `model.layers.{layer}.mlp.experts.{expert}.w1.weight` <-> (layer, expert).

A hole is a whole dot-segment and names an axis, `{layer}`, or an axis restricted to a domain, `{layer:moe}`.
There are no regular expressions and no substring tests, so every checkpoint name can be grepped to its row.
A name whose own segments have braces is nobody's: no row can spell it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
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
        """What `blank` makes of the names: holes and integers blank."""
        return ".".join(HOLE if s.startswith("{") or is_index(s) else s for s in self.text.split("."))

    @cached_property
    def literals(self) -> tuple[int | None, ...]:
        """For every blank of the template the integer that the text has there, or None for a hole."""
        segments = self.text.split(".")
        return tuple(int(s) if is_index(s) else None for s in segments if s.startswith("{") or is_index(s))

    @cached_property
    def _format(self) -> str:
        return ".".join(HOLE if s.startswith("{") else s for s in self.text.split("."))

    def name(self, indices: Indices) -> str:
        """The name at these positions of the holes."""
        return self._format.format(*indices)

    def positions(self, blanks: Indices) -> Indices | None:
        """The positions of the holes when the template's blanks are these; None where the text has another integer.

        There may be more blanks than the pattern has, below a Skip that ends in `**`.
        """
        own: list[int] = []
        for index, literal in zip(blanks, self.literals, strict=False):
            if literal is None:
                own.append(index)
            elif literal != index:
                return None
        return tuple(own)

    def spread(self, domain: Sequence[Sequence[int]]) -> tuple[Sequence[int], ...]:
        """The domains of the holes as domains of all blanks."""
        own = iter(domain)
        return tuple(next(own) if literal is None else (literal,) for literal in self.literals)


MOST_HOLES = 12
"""A name with more numbers in it is no name of a tensor; its numbers are taken as they stand."""


@lru_cache(maxsize=1 << 18)
def blank(name: str) -> tuple[str, Indices]:
    """A checkpoint name's template and the integers in its holes; `07` is no integer here, as nobody writes it.

    Remembered, as choosing the rows, claiming and reporting all ask it of the same names; a diagnosis has them twice,
    as they are and as they should be.

    >>> blank("model.layers.3.mlp.experts.12.w1.weight")
    ('model.layers.{}.mlp.experts.{}.w1.weight', (3, 12))
    """
    segments = name.split(".")
    indices: list[int] = []
    if len(segments) > MOST_HOLES and sum(map(is_index, segments)) > MOST_HOLES:
        return name, ()
    for position, segment in enumerate(segments):
        if segment.isdigit() and is_index(segment):
            indices.append(int(segment))
            segments[position] = HOLE
    # Thousands of names share a template: one string serves them all, and compares by identity.
    return sys.intern(".".join(segments)), tuple(indices)


def is_index(segment: str) -> bool:
    """Whether a dot-segment is a canonical non-negative integer."""
    return segment.isascii() and segment.isdigit() and (segment == "0" or segment[0] != "0") and len(segment) < 10


def spans(text: str, most: int) -> list[int]:
    """The inverse of `runs`, without `except`: `"0, 2..5"` -> `[0, 2, 3, 4, 5]`.

    Raises ValueError for another text, and for a range of more than `most` positions.
    """
    found: set[int] = set()
    for piece in text.split(","):
        first, dots, last = piece.strip().partition("..")
        if not is_index(first) or (dots and not (is_index(last) and 0 < int(last) - int(first) < most)):
            raise ValueError(f"{piece.strip()!r} is no position and no range of them")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def runs(indices: Iterable[int]) -> str:
    """Positions in the spelling of the reports: `0..39 except 7, 19`, `3`, `0, 2..5`."""
    found = sorted(set(indices))
    if not found:
        return ""
    lacking = found[-1] - found[0] + 1 - len(found)
    if 0 < lacking <= 4 and len(found) > 2 * lacking:
        gaps = sorted(set(range(found[0], found[-1] + 1)).difference(found))
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

    Nothing is lost: positions that are no product of ranges make several lines.

    >>> collapse(["h.0.ln.weight", "h.1.ln.weight", "wte.weight"])
    [('h.{0, 1}.ln.weight', 2), ('wte.weight', 1)]
    >>> collapse(["e.0.w.0", "e.1.w.1"])
    [('e.0.w.0', 1), ('e.1.w.1', 1)]
    """
    groups: dict[str, list[Indices]] = {}
    for name in names:
        template, indices = (name, ()) if "{" in name else blank(name)
        groups.setdefault(template, []).append(indices)
    return [
        (_fill(template, columns), prod(map(len, columns)))
        for template, indices in groups.items()
        for columns in _products(indices)
    ]


def fold(template: str, found: Sequence[Indices]) -> str:
    """A template with its holes filled by the positions found: `h.{0..31}.ln.weight`."""
    return ", ".join(_fill(template, columns) for columns in _products(found))


def _products(found: Iterable[Indices]) -> Iterator[tuple[Sequence[int], ...]]:
    """Disjoint products of positions that together are what was found."""
    rests: dict[int, set[Indices]] = {}
    for indices in found:
        if not indices:
            yield ()
            return
        rests.setdefault(indices[0], set()).add(indices[1:])
    heads: dict[frozenset[Indices], list[int]] = {}
    for head, rest in rests.items():
        heads.setdefault(frozenset(rest), []).append(head)
    for tails, same in heads.items():
        for columns in _products(sorted(tails)):
            yield (same, *columns)


def _fill(template: str, columns: Sequence[Sequence[int]]) -> str:
    spans = iter([str(c[0]) if len(c) == 1 else "{" + runs(c) + "}" for c in columns])
    return ".".join(next(spans, HOLE) if segment == HOLE else segment for segment in template.split("."))
