"""The keys that do something here, in the last line; a click presses them.

Textual's own footer is a widget a key, all of them made anew when one changes: as long as the rest of a frame takes.
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.screen import Screen

from tui.model.line import Span, Target
from tui.widgets.oneline import OneLine


class KeyLine(OneLine):
    """What is bound where the focus is."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.say(lambda width: tuple(self._spans()))

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        self.refresh()

    def _spans(self) -> Iterator[Span]:
        """Of several keys that do the same the first. What stands over the browser has keys of its own."""
        if self.app.screen is not self.screen:
            yield Span(" esc ", "key", Target("key", "escape"))
            yield Span("close", "plain", Target("key", "escape"))
            return
        told: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.action not in told:
                told.add(binding.action)
                at = Target("key", binding.key)
                yield Span(f" {self.app.get_key_display(binding)} ", "key" if active.enabled else "dim", at)
                yield Span(f"{binding.description} ", "plain" if active.enabled else "dim", at)

    def _lead(self, span: Span) -> None:
        if span.target is not None:
            self.app.simulate_key(span.target.name)
