"""The keys that do something here, in the last line; a click presses them.

Textual's own footer is a widget a key, all of them made anew when one changes: as long as the rest of a frame takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.screen import Screen

from tui.model.columns import wide
from tui.model.line import Line, Span, Target, plain
from tui.widgets.oneline import OneLine

LAST = 2
"""Keys at the end of the line that do not give way."""


class KeyLine(OneLine):
    """What is bound where the focus is."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.say(self._fitting)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        self.refresh()

    def _fitting(self, width: int) -> Line:
        """As many as there is room for; the last two, how to get help and how to get out, are left to the last."""
        told = list(self._told())
        while len(told) > LAST and sum(wide(plain(spans)) for spans in told) > width:
            del told[-LAST - 1]
        return tuple(span for spans in told for span in spans)

    def _told(self) -> Iterator[Line]:
        """Of several keys that do the same the first. What stands over the browser has keys of its own."""
        if self.app.screen is not self.screen:
            yield _key(" esc", "close", "escape")
            return
        told: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in told:
                told.add(binding.action)
                gap = "  " if len(told) > 1 else " "
                yield _key(gap + self.app.get_key_display(binding), binding.description, binding.key, active.enabled)

    def _lead(self, span: Span) -> None:
        if span.target is not None:
            self.app.simulate_key(span.target.name)


def _key(shown: str, what: str, key: str, enabled: bool = True) -> Line:
    at = Target("key", key)
    return Span(f"{shown} ", "key" if enabled else "dim", at), Span(what, "plain" if enabled else "dim", at)
