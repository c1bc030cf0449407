"""Pages that ask a trace when they are drawn: where its file can no longer be read, that is what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracer.failure import EXPECTED, in_one_line
from tui.model.line import Line, Page, Span, Text
from tui.model.wrapped import paragraph


def guarded(build: Callable[[], Page]) -> Page:
    """The page, or what stands against it."""
    try:
        return _Guarded(build())
    except EXPECTED as error:
        return _unreadable(error)


@dataclass(frozen=True)
class _Guarded:
    page: Page

    def lines(self, width: int) -> Sequence[Line]:
        try:
            return self.page.lines(width)
        except EXPECTED as error:
            return _unreadable(error).lines(width)

    def heading(self, width: int) -> Line | None:
        return self.page.heading(width)


def _unreadable(error: Exception) -> Page:
    said = in_one_line(error)
    return Text(lambda width: list(paragraph(said, width, Span("✗ ", "bad"), "bad")))
