"""The line that a search is typed into."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Input


class SearchLine(Input):
    """Textual's own, which a longer text does not make wider."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0))
    """Without a layout of the whole screen for each letter: that takes as long as to find what it leaves."""
