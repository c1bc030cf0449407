"""Where one has been: back and forward, as in a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tui.model.line import Target


@dataclass(frozen=True)
class Place:
    """What was in sight."""

    page: str
    focus: Target | None


@dataclass
class History:
    """Places, and where in them one stands."""

    places: list[Place] = field(default_factory=list)
    at: int = -1

    def visit(self, place: Place) -> None:
        """Go somewhere new; what lay ahead is forgotten."""
        if self.at >= 0 and self.places[self.at] == place:
            return
        self.places[self.at + 1 :] = [place]
        self.at += 1

    def revise(self, again: Callable[[Place], Place | None]) -> None:
        """Places as they are now; those that are gone are forgotten."""
        now = [again(place) for place in self.places]
        self.at = sum(place is not None for place in now[: self.at + 1]) - 1
        self.places = [place for place in now if place is not None]

    def step(self, by: int) -> Place | None:
        """The place before or behind, None at the end."""
        if not 0 <= self.at + by < len(self.places):
            return None
        self.at += by
        return self.places[self.at]
