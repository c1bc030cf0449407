"""The window: two panes, a line above and a line below. It draws what `Browsing` says, and knows nothing of keys."""

from __future__ import annotations

from typing import Literal

from textual import events
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical

from tracer.failure import EXPECTED, in_one_line
from tui.model.browsing import Browsing
from tui.model.findings.chips import chips
from tui.model.line import Span
from tui.model.tabs import tabs
from tui.model.title import title
from tui.widgets.keyline import KeyLine
from tui.widgets.oneline import OneLine
from tui.widgets.search_line import SearchLine
from tui.widgets.sheet import Sheet
from tui.widgets.visible import visible

NARROW, TINY = 100, 60
"""Columns below which the panes stand above each other, and below which only one is shown."""
SAID = 3.0
"""Seconds that a word stands."""


class Window(App[int]):
    """What is seen of a `Browsing`."""

    TITLE = "trace-load"
    CSS_PATH = "look.tcss"

    def __init__(self, browsing: Browsing) -> None:
        super().__init__()
        self.browsing = browsing
        self.browsing.colours = not self.no_color
        self.failed = ""
        """What ended it, in one line."""

    def compose(self) -> ComposeResult:
        yield OneLine("top")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Sheet("names")
            with Vertical(id="right"):
                yield OneLine("pages")
                yield Sheet("page", links=True)
        yield SearchLine(placeholder="search: words that all must occur; a number is a layer or an expert", id="search")
        yield KeyLine("keys")

    @property
    def names(self) -> Sheet:
        return self.query_one("#names", Sheet)

    @property
    def sheet(self) -> Sheet:
        return self.query_one("#page", Sheet)

    # --- drawing ---

    def _draw(self) -> None:
        """Everything, from the state."""
        self._draw_top()
        self._draw_page()
        self.names.show(self.browsing.names())

    def _draw_top(self) -> None:
        state = self.browsing
        subject = state.subject
        end = (*chips(subject), Span(" ")) if subject else (Span(f"{state.waiting} ", "dim"),)
        taken = sum(len(span.text) for span in end)
        self.query_one("#top", OneLine).say(
            lambda width: title(state.where, subject, state.tp, state.rank, width - taken - 1), end
        )

    def _draw_page(self, cursor: int | None = None) -> None:
        self.query_one("#pages", OneLine).say(lambda width: tabs(self.browsing.pages, self.browsing.in_sight, width))
        self.sheet.show(self.browsing.shown(), cursor)

    def _say(self, message: str, severity: Literal["information", "warning"] = "information") -> None:
        """One word at a time: what was said before is over when a key is pressed again."""
        self.clear_notifications()
        self.notify(visible(message), severity=severity, timeout=SAID, markup=False)

    def _fail(self, message: str) -> None:
        """There is nothing to be shown."""
        self.failed = message
        self.exit(2)

    def _handle_exception(self, error: Exception) -> None:
        """A page is drawn from files, which may be gone or damaged by now; anything else is a fault of ours."""
        if isinstance(error, EXPECTED):
            self._fail(in_one_line(error))
        else:
            super()._handle_exception(error)

    # --- panes ---

    def action_other_pane(self) -> None:
        other = self.sheet if self.names.has_focus else self.names
        self._uncover(other)
        self.screen.set_focus(other)

    def _uncover(self, pane: Sheet) -> None:
        """Show a pane that the other one hides; where there is only room for one, keys go to it too."""
        self.screen.remove_class("zoomed-right" if pane is self.names else "zoomed-left")
        if self.screen.has_class("tiny"):
            self.screen.set_class(pane is self.sheet, "turned")
            self.screen.set_focus(pane)

    def action_zoom(self) -> None:
        pane = "left" if self.names.has_focus else "right"
        zoomed = self.screen.has_class("zoomed-left") or self.screen.has_class("zoomed-right")
        self.screen.remove_class("zoomed-left", "zoomed-right")
        if not zoomed:
            self.screen.add_class(f"zoomed-{pane}")

    def on_resize(self, event: events.Resize) -> None:
        self.screen.set_class(event.size.width < NARROW, "narrow")
        self.screen.set_class(event.size.width < TINY, "tiny")
        self.screen.set_class(self.sheet.has_focus, "turned")
