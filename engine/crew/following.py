"""The part of every rank but 0 in a crew: do as told, hand over what is noted, leave with rank 0's status."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.crew.link import Kind, Lost, Message
from engine.crew.meeting import Crew

LOOK = 0.05
"""Seconds between two looks at what rank 0 has sent."""
PATIENCE = 8.0
"""Seconds that one who was told to end by others than rank 0 waits for its verdict, and for all to leave together."""


class Stopped(Exception):
    """The leader wants no more work, or there is no leader."""


class Follower:
    """Another rank's part; `ended` is the exit status if a signal told this process to end."""

    def __init__(self, crew: Crew, ended: Callable[[], int | None]) -> None:
        self._leader = crew.leader
        self._ended = ended

    def arrive(self, hello: Message) -> None:
        """Say what there is to know of this rank. Raises Lost."""
        self._leader.send(Kind.HELLO, hello)

    def called(self) -> bool:
        """Whether the leader needs this rank; False where it does the job alone, or this rank must end. Raises Lost."""
        return self._wait_for(Kind.CALL) is not None

    def order(self) -> Message | None:
        """What to do; None where nothing is to be done, or this rank must end. Raises Lost."""
        return self._wait_for(Kind.ORDER)

    def _wait_for(self, kind: Kind) -> Message | None:
        while not self._leader.has(Kind.VERDICT) and self._ended() is None:
            if (message := self._leader.message(kind)) is not None:
                return message
            self._mind_the_leader()
            time.sleep(LOOK)
        return None

    def send(self, data: bytes) -> None:
        """Hand over notes. Raises Lost."""
        self._leader.send_notes(data)

    def check(self) -> None:
        """Raises Stopped when the work is to end, Lost when there is no leader."""
        if self._ended() is not None or self._leader.has(Kind.STOP) or self._leader.has(Kind.VERDICT):
            raise Stopped
        self._mind_the_leader()

    def report(self, done: Message) -> None:
        """Say how the work went. Raises Lost."""
        self._leader.send(Kind.DONE, done)

    def refuse(self, why: str) -> None:
        """Say why this rank takes no part. Raises Lost."""
        self._leader.send(Kind.REFUSAL, {"why": why})

    def verdict(self) -> int | None:
        """The status with which all exit; None where nobody is left to give one."""
        deadline: float | None = None
        try:
            while deadline is None or time.monotonic() < deadline:
                found = self._leader.message(Kind.VERDICT)
                if found is not None:
                    self._await_departure()
                    return int(found["status"])
                self._mind_the_leader()
                if deadline is None and self._ended() is not None:
                    deadline = time.monotonic() + PATIENCE
                time.sleep(LOOK)
        except Lost:
            pass
        return None

    def _await_departure(self) -> None:
        """All leave at once: torchrun ends whoever is still there when the first exits with a failure."""
        deadline = time.monotonic() + PATIENCE
        try:
            self._leader.send(Kind.AWARE)
        except Lost:
            return
        while time.monotonic() < deadline and not self._leader.has(Kind.GO) and not self._leader.gone:
            time.sleep(LOOK)

    def _mind_the_leader(self) -> None:
        """Raises Lost where it has gone without a verdict."""
        if self._leader.gone and not self._leader.has(Kind.VERDICT):
            raise Lost("rank 0 is gone")
