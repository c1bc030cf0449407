"""Help: every key that does something here, in words, from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen

from tui.model.line import Line, Span, Text, line
from tui.widgets.sheet import Sheet


class HelpScreen(ModalScreen[None]):
    """Closed by the keys that open it."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,f1", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        yield Sheet("help")

    def on_mount(self) -> None:
        sheet = self.query_one("#help", Sheet)
        sheet.border_title = "keys"
        lines = list(self._lines())
        sheet.show(Text(lambda width: lines))
        sheet.focus()

    def _lines(self) -> Iterator[Line]:
        """The keys of what had the focus first, then those that do everywhere."""
        yield from self._keys(self.app, "everywhere")
        yield ()
        yield from self._keys(self.query_one("#help", Sheet), "in a list")

    def _keys(self, owner: object, where: str) -> Iterator[Line]:
        yield line(Span(where, "heading"))
        bindings = owner._bindings.key_to_bindings  # type: ignore[attr-defined]
        told: dict[str, list[str]] = {}
        for key, found in bindings.items():
            for binding in found:
                sentence = binding.tooltip or binding.description
                told.setdefault(sentence, []).append(self.app.get_key_display(binding) or key)
        for description, keys in told.items():
            if description:
                yield line(Span(f"  {', '.join(dict.fromkeys(keys)):<22}", "strong"), Span(description))
