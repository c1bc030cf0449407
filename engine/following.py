"""The part of every rank but 0 in a crew: do as told, hand over what is noted, leave with rank 0's status."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.crew import CHUNK, LOST, Crew, Lost, Message
from engine.launch import PATIENCE, POLL


class Stopped(Exception):
    """The leader wants no more work, or there is no leader."""


class Follower:
    """Another rank's part. `tail()` gives what its rank noted since the last call; `ended` when it must end."""

    def __init__(self, crew: Crew, ended: Callable[[], int | None]) -> None:
        self._crew = crew
        self._ended = ended
        """The exit status if a signal told this process to end."""
        self._sent = 0

    def order(self) -> Message | None:
        """What to do; None where the leader does it alone. Raises Lost."""
        while self._crew.get("verdict") is None and self._ended() is None:
            order = self._crew.message("order")
            if order is not None:
                return order
            self._mind_the_leader()
            time.sleep(POLL)
        return None

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self._crew.put(f"notes/{self._crew.rank}/{self._sent}", data[start : start + CHUNK])
            self._sent += 1

    def check(self) -> None:
        """Raises Stopped when the work is to end, Lost when there is no leader."""
        self._mind_the_leader()
        if self._ended() is not None or self._crew.get("stop") is not None or self._crew.get("verdict") is not None:
            raise Stopped

    def report(self, done: Message) -> None:
        self._crew.put(f"done/{self._crew.rank}", done)

    def refuse(self, message: str) -> None:
        """Say why this rank takes no part: instead of its arrival, or after it. Raises Lost."""
        self._crew.put(f"hello/{self._crew.rank}", {"failed": message})

    def verdict(self) -> int | None:
        """The status with which all exit; None where nobody is left to give one."""
        deadline = time.monotonic() + 2 * LOST if self._ended() is not None else None
        try:
            while deadline is None or time.monotonic() < deadline:
                found = self._crew.message("verdict")
                if found is not None:
                    self._await_departure()
                    return int(found["status"])
                self._mind_the_leader()
                if deadline is None and self._ended() is not None:
                    deadline = time.monotonic() + 2 * LOST
                time.sleep(POLL / 2)
        except Lost:
            pass
        return None

    def _await_departure(self) -> None:
        """All leave at once: torchrun ends whoever is still there when the first exits with a failure."""
        self._crew.put(f"aware/{self._crew.rank}", b"1")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._crew.get("go") is None:
            time.sleep(POLL / 2)

    def _mind_the_leader(self) -> None:
        if self._crew.silent([0]):
            raise Lost("rank 0 is gone")
