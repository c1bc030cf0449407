"""What several threads find of one tensor, put together in the order of its pieces and not in that of the threads."""

from __future__ import annotations

import threading
from typing import Generic, Protocol, Self, TypeVar


class Addable(Protocol):
    """Of two stretches that of both, whose rounding may depend on which come together first."""

    def __add__(self, other: Self, /) -> Self: ...


T = TypeVar("T", bound=Addable)


class InOrder(Generic[T]):
    """A sum that is the same to the last bit however many threads add to it; what comes early waits for its turn."""

    def __init__(self, start: T) -> None:
        self.total = start
        """Of the pieces up to the first that is not there yet."""
        self._next = 0
        self._early: dict[int, T] = {}
        self._lock = threading.Lock()

    def add(self, number: int, part: T) -> None:
        """What the piece of that number, counted from 0, comes to. Each is to be added once."""
        with self._lock:
            self._early[number] = part
            while self._next in self._early:
                self.total += self._early.pop(self._next)
                self._next += 1
