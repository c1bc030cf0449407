"""Rank 0's part in a crew: wait for the others, collect what they note, end them, say how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from engine.crew.link import Kind, Lost, Message
from engine.crew.meeting import JOIN, LATE, Crew
from engine.processes.failed import GRACE, POLL, PeersLost, RankFailed

ENDING = 2.0
"""Seconds that other ranks have to end when told to, and again to hear the verdict."""
CAUSE = 4.0
"""Seconds in which a failure must be told once others have failed of it."""
CONSEQUENCE = PeersLost.__name__
"""The kind of their failures."""


def assemble(crew: Crew, own: Message, tell: Callable[[list[int]], Any]) -> list[Message]:
    """What each rank says of itself, in rank order; `own` is what this one says.

    `tell` is called once with those who are late. Raises RankFailed for one that takes no part or does not come, Lost.
    """
    told_at: float | None = time.monotonic() + LATE
    called: set[int] = set()
    while True:
        _call(crew, called)
        _refuse_absence(crew)
        hellos = {rank: hello for rank, link in crew.came(crew.others) if (hello := link.message(Kind.HELLO))}
        missing = [rank for rank in crew.others if rank not in hellos]
        if not missing:
            return [own, *(hellos[rank] for rank in crew.others)]
        if told_at is not None and time.monotonic() > told_at:
            tell(missing)
            told_at = None
        time.sleep(POLL / 2)


def _call(crew: Crew, called: set[int]) -> None:
    """Have those who came since the last call prepare themselves, which needs torch and takes a while."""
    for rank, link in crew.came(crew.others):
        if rank not in called:
            called.add(rank)
            with suppress(Lost):
                link.send(Kind.CALL)


def _refuse_absence(crew: Crew) -> None:
    """Raises RankFailed for a rank that takes no part, has not come for too long, or has gone again."""
    gone = crew.gone(crew.others)
    for rank, link in crew.came(crew.others):
        if (refusal := link.message(Kind.REFUSAL)) is not None:
            raise RankFailed(rank, str(refusal.get("why")))
    for rank in gone:
        raise RankFailed(rank, "gone before the work began: it was killed")
    for rank in crew.overdue(crew.others):
        raise RankFailed(rank, f"not here after {JOIN:g} seconds")


def order(crew: Crew, message: Message) -> None:
    """Have all others begin. One that is gone by now is missed when its notes do not come."""
    for _, link in crew.came(crew.others):
        with suppress(Lost):
            link.send(Kind.ORDER, message)


def dismiss(crew: Crew, status: int) -> None:
    """Tell the others with which status to exit, and wait until they know, but not for the dead."""
    told: set[int] = set()
    began = time.monotonic()
    while _unaware(crew, time.monotonic() - began):
        for rank, link in crew.came(crew.others):
            if rank not in told:
                told.add(rank)
                with suppress(Lost):
                    link.send(Kind.VERDICT, {"status": status})
        time.sleep(POLL / 10)
    for _, link in crew.came(crew.others):
        with suppress(Lost):
            link.send(Kind.GO)
    crew.close()


def _unaware(crew: Crew, waited: float) -> bool:
    """Whether one who may still hear the verdict has not: one who is yet to come has longer."""
    links = [crew.link(rank) for rank in crew.others]
    if any(link is None for link in links) and waited < LATE:
        return True
    return waited < ENDING and any(link and not link.gone and not link.has(Kind.AWARE) for link in links)


def _order_of_causes(failed: RankFailed) -> int:
    return 2 if failed.kind == CONSEQUENCE else 1 if failed.kind else 0


class Leader:
    """Rank 0's part. `sink(rank, data)` takes the notes of another rank, in order; without one there are none."""

    def __init__(self, crew: Crew, sink: Callable[[int, bytes], Any] | None = None) -> None:
        self._crew = crew
        self._sink = sink
        self.done: dict[int, Message] = {}
        self._failed: list[RankFailed] = []
        self._since = 0.0
        """When the first of them was heard of."""
        self._stopping = False

    def run(self, own: Callable[[Callable[[], None]], Any]) -> Any:
        """Do the own part, `own(watch)`, and wait for the others. Raises RankFailed with the first cause, Lost."""
        try:
            result = own(self.watch)
            while len(self.done) < len(self._crew.others):
                self.watch()
                time.sleep(POLL)
            if self._failed:
                raise self._first_cause()
            return result
        except RankFailed as failed:
            if failed not in self._failed:
                self._note(failed)
            while self._pending() and not self._settled():
                self._pull()
                time.sleep(POLL)
            raise self._first_cause() from failed
        finally:
            self._stop()

    def watch(self) -> None:
        """Take what the others sent. Raises RankFailed some time after one has failed."""
        self._pull()
        if self._failed and self._settled():
            raise self._first_cause()

    def dead(self) -> RankFailed | None:
        """Another rank that is gone: torchrun ends the ranks beside a dead one."""
        self._pull()
        return next((failed for failed in self._failed if not failed.kind), None)

    def _pending(self) -> list[int]:
        failed = {failed.rank for failed in self._failed}
        return [rank for rank in self._crew.others if rank not in self.done and rank not in failed]

    def _fail(self, rank: int, message: str, kind: str = "", labels: Message | None = None) -> None:
        self._note(RankFailed(rank, message, "", kind, labels))

    def _note(self, failed: RankFailed) -> None:
        self._since = self._since or time.monotonic()
        self._failed.append(failed)

    def _pull(self) -> None:
        for rank, link in self._crew.came(self._pending()):
            gone = link.gone
            done = link.message(Kind.DONE)
            if (data := link.take_notes()) and self._sink is not None:
                self._sink(rank, data)
            if done is not None:  # its notes were sent before it said so
                self._take(rank, done)
            elif gone:
                self._fail(rank, "gone without a word: it was killed, or its machine is gone")

    def _take(self, rank: int, done: Message) -> None:
        self.done[rank] = done
        if done["stopped"] and not self._stopping:
            self._fail(rank, "it was told to end before it was done", "Stopped")
        elif not done["ok"] and not done["stopped"]:
            self._fail(rank, done["message"], done["kind"], done["labels"])

    def _first_cause(self) -> RankFailed:
        """A silent death before an exception, then as they came: peers that fail of either come last."""
        return min(self._failed, key=_order_of_causes)

    def _settled(self) -> bool:
        """Whether the first cause is known: nobody's failure comes before a death, and others may still tell theirs."""
        kind = self._first_cause().kind
        patience = 0.0 if not kind else CAUSE if kind == CONSEQUENCE else GRACE
        return time.monotonic() - self._since >= patience

    def _stop(self) -> None:
        """Have the others end, and take what they noted until then."""
        self._stopping = True
        for _, link in self._crew.came(self._pending()):
            with suppress(Lost):
                link.send(Kind.STOP)
        deadline = time.monotonic() + ENDING
        while time.monotonic() < deadline and self._pending():
            self._pull()
            time.sleep(POLL)
