"""What is done with the keys of a binding and seen afterwards: a table that is held against the bindings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.tui.seen import Seen

Told = Callable[[Seen, str], Awaitable[None]]


class Gesture(NamedTuple):
    """What is done with one of a binding's keys, and seen afterwards."""

    told: Told
    kind: str
    size: tuple[int, int]


GESTURES: dict[str, Gesture] = {}


def key(binding: str, kind: str = "clean", size: tuple[int, int] = (120, 20)) -> Callable[[Told], Told]:
    """The gesture that shows what a binding does."""

    def register(told: Told) -> Told:
        assert binding not in GESTURES
        GESTURES[binding] = Gesture(told, kind, size)
        return told

    return register
