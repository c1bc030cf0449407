"""A line of spans that stays where it is: what is open, how it stands, which pages there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.model.columns import both, fitted, wide
from tui.model.line import Line, Span, Target
from tui.widgets.sheet import ROLES
from tui.widgets.visible import visible


class OneLine(Widget):
    """Spans at the left and at the right; those at the left give way."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"sheet--{role}" for role in ROLES}

    class Clicked(Message):
        """A span that leads somewhere was clicked."""

        def __init__(self, target: Target) -> None:
            super().__init__()
            self.target = target

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._start: Callable[[int], Line] = lambda width: ()
        self._end: Line = ()

    def say(self, start: Line | Callable[[int], Line], end: Line = ()) -> None:
        """Show other spans, or those that are made for so many columns."""
        self._start, self._end = start if callable(start) else lambda width: start, end
        self.refresh()

    @property
    def line(self) -> Line:
        """What it shows."""
        start, width = self._start(self.size.width), self.size.width
        return both(start, self._end, width) if self._end else fitted(start, width)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        segments = [
            Segment(visible(span.text), base + self.get_component_rich_style(f"sheet--{span.role}", partial=True))
            for span in (self.line if y == 0 else ())
        ]  # fmt: skip
        return Strip(segments).extend_cell_length(self.size.width, base).crop(0, self.size.width)

    def on_click(self, event: events.Click) -> None:
        x = event.x
        for span in self.line:
            x -= wide(span.text)
            if x < 0:
                self._lead(span)
                return

    def _lead(self, span: Span) -> None:
        if span.target is not None:
            self.post_message(self.Clicked(span.target))
