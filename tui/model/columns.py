"""Cells beside each other in a line of a given width: one gives way, the others keep theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import east_asian_width

from tui.model.line import Line, Span


def wide(text: str) -> int:
    """Cells of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, room: int) -> str:
    """At most `room` cells of a text, with `…` where there was more."""
    if wide(text) <= room:
        return text
    kept, used = [], 1
    for character in text:
        used += wide(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + "…" if room > 0 else ""


def cut_start(text: str, room: int) -> str:
    """The same from the other end: what tells names apart is at their end."""
    return cut(text[::-1], room)[::-1]


def left(span: Span, room: int) -> Span:
    """A cell of exactly `room` cells, its text at the left."""
    text = cut(span.text, room)
    return span._replace(text=text + " " * (room - wide(text)))


def right(span: Span, room: int) -> Span:
    """The same with its text at the right."""
    text = cut(span.text, room)
    return span._replace(text=" " * (room - wide(text)) + text)


def fitted(spans: Iterable[Span], room: int) -> Line:
    """A line of at most `room` cells: spans from the left as far as they go."""
    kept: list[Span] = []
    for span in spans:
        text = cut(span.text, room)
        kept.append(span._replace(text=text))
        room -= wide(text)
        if text != span.text:
            break
    return tuple(kept)


def both(start: Sequence[Span], end: Sequence[Span], width: int) -> Line:
    """Spans at the left and at the right edge; those at the left give way."""
    taken = sum(wide(span.text) for span in end)
    kept = fitted(start, max(width - taken - 1, 0))
    gap = width - taken - sum(wide(span.text) for span in kept)
    return fitted((*kept, Span(" " * max(gap, 0)), *end), width)
