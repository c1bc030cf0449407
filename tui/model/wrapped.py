"""Sentences that do not fit a line, on several; what a file put into them cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.commands.output import printable
from tui.model.columns import cut, wide
from tui.model.line import Line, Role, Span, Target

_LEAST = 8
"""Columns; into fewer nothing is wrapped."""


def wrap(text: str, room: int) -> Iterator[str]:
    """Lines of at most `room` cells, broken at blanks; a word that is longer is broken where the line ends."""
    room, held = max(room, _LEAST), ""
    for word in printable(text).split():
        joined = f"{held} {word}" if held else word
        if wide(joined) <= room:
            held = joined
            continue
        if held:
            yield held
        held = word
        while wide(held) > room:
            piece = _piece(held, room)
            yield piece
            held = held[len(piece) :]
    if held:
        yield held


def _piece(word: str, room: int) -> str:
    """The start of a word that is `room` cells wide."""
    return cut(word, room + 1)[:-1] or word[0]


def paragraph(
    text: str, width: int, start: str | Span = "", role: Role = "plain", target: Target | None = None
) -> Iterator[Line]:
    """A text behind `start`, the further lines below where it began."""
    first = Span(start) if isinstance(start, str) else start
    indent = wide(first.text)
    for number, piece in enumerate(wrap(text, width - indent)):
        yield (first if number == 0 else Span(" " * indent), Span(cut(piece, max(width - indent, 0)), role, target))
