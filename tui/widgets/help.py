"""Help: every key that does something here, in words, from the bindings themselves and the key map of the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.keys import format_key
from textual.screen import ModalScreen

from tui.model.columns import fitted
from tui.model.line import Line, Span, Text, line
from tui.widgets.sheet import Sheet

_ELSEWHERE = {"page": "pages", "names": "names", "sheet": "in a list"}
"""Headings by the first part of a binding's id."""
_KEYS = 22
"""Cells for keys."""
_WITHOUT_ID = (("ctrl+p", "the palette: all of this by its words, and themes"),
               ("mouse", "a click selects, or goes where that leads"))  # fmt: skip


class HelpScreen(ModalScreen[None]):
    """Closed by the keys that open it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "close"),
        Binding("question_mark,f1", "dismiss", "close", id="help"),
    ]

    def __init__(self, bindings: Iterable[Binding], keys: Mapping[str, str]) -> None:
        super().__init__()
        self._lines = list(told(bindings, keys))

    def compose(self) -> ComposeResult:
        yield Sheet("help")

    def on_mount(self) -> None:
        sheet = self.query_one("#help", Sheet)
        sheet.border_title = "keys"
        sheet.border_subtitle = "esc closes"
        sheet.show(Text(lambda width: [fitted(spans, width) for spans in self._lines]))
        sheet.focus()

    def on_click(self, event: events.Click) -> None:
        """Beside it, that is."""
        if event.widget is self:
            self.dismiss()


def told(bindings: Iterable[Binding], keys: Mapping[str, str]) -> Iterator[Line]:
    """A line a binding with the keys that it has now, those that do everywhere first."""
    groups: dict[str, list[Line]] = {"everywhere": [_line(*each) for each in _WITHOUT_ID]}
    for binding in bindings:
        id = str(binding.id)
        shown = ", ".join(format_key(key) for key in keys.get(id, binding.key).split(","))
        groups.setdefault(_ELSEWHERE.get(id.partition(".")[0], "everywhere"), []).append(
            _line(shown, binding.tooltip or binding.description)
        )
    for heading, lines in groups.items():
        yield line(Span(heading, "heading"))
        yield from lines
        yield ()


def _line(keys: str, what: str) -> Line:
    return line(Span(f"  {keys:<{_KEYS}}", "strong"), Span(what))
