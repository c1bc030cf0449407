"""Rank 0's part in a crew: wait for the others, collect what they note, end them, say how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.crew import BEAT, JOIN, LATE, LOST, Crew, Lost, Message
from engine.launch import GRACE, POLL, RankFailed

ENDING = 2.0
"""Seconds that other ranks have to end when told to, and again to hear the verdict.

A dead rank is missed after LOST, the others have ended ENDING later and heard the verdict ENDING after that.
"""


def assemble(crew: Crew, tell: Callable[[list[int]], Any]) -> list[Message]:
    """What each rank said of itself on arrival, in rank order; `tell` is called once with those who are late.

    Raises RankFailed for one that takes no part or does not come.
    """
    told_at: float | None = time.monotonic() + LATE
    missing: list[int] = []
    try:
        while True:
            hellos = [(rank, crew.message(f"hello/{rank}")) for rank in range(crew.size)]
            _refuse_absence(crew, hellos)
            missing = [rank for rank, hello in hellos if hello is None]
            if not missing:
                return [hello for _, hello in hellos if hello is not None]
            if told_at is not None and time.monotonic() > told_at:
                tell(missing)
                told_at = None
            time.sleep(POLL)
    except KeyboardInterrupt as stop:  # as torchrun sends it when a rank of this machine died before it came
        stop.add_note(f"still without rank {', '.join(map(str, missing))}")
        raise


def _refuse_absence(crew: Crew, hellos: Sequence[tuple[int, Message | None]]) -> None:
    """Raises RankFailed for a rank that takes no part, has not come for too long, or has gone again."""
    for rank, hello in hellos:
        if hello is not None and "failed" in hello:
            raise RankFailed(rank, hello["failed"])
    for rank in crew.silent(crew.others):
        why = "gone before the load began" if crew.met(rank) else f"not here after {JOIN:g} seconds"
        raise RankFailed(rank, why)


def dismiss(crew: Crew, status: int) -> None:
    """Tell the others with which status to exit, and wait until they know, but not for the dead."""
    try:
        crew.put("verdict", {"status": status})
        began = time.monotonic()
        while _unaware(crew, time.monotonic() - began):
            time.sleep(POLL / 2)
        crew.put("go", b"1")
        time.sleep(POLL)  # whoever serves the store is needed until all have read this
    except Lost:
        pass
    crew.close()


def _unaware(crew: Crew, waited: float) -> bool:
    """Whether one who may still hear the verdict has not: one who is yet to come has longer."""
    unaware = [rank for rank in crew.others if crew.get(f"aware/{rank}") is None]
    alive = set(unaware) - set(crew.silent(unaware, 3 * BEAT))
    return any(waited < (ENDING if crew.met(rank) else LATE) for rank in alive)


class Leader:
    """Rank 0's part. `sink(rank, data)` takes the notes of another rank, in order."""

    def __init__(self, crew: Crew, sink: Callable[[int, bytes], Any]) -> None:
        self._crew = crew
        self._sink = sink
        self._taken = dict.fromkeys(crew.others, 0)
        self.done: dict[int, Message] = {}
        self._failed: list[RankFailed] = []
        self._deadline: float | None = None
        self._stopping = False

    def run(self, own: Callable[[Callable[[], None]], Any]) -> Any:
        """Do the own part, `own(watch)`, and wait for the others. Raises RankFailed with the first cause."""
        try:
            result = own(self.watch)
            while len(self.done) < len(self._crew.others):
                self.watch()
                time.sleep(POLL)
            if self._failed:
                raise self._first_cause()
            return result
        except RankFailed as failed:
            self._failed.append(failed)
            self._wait_for_causes()
            raise self._first_cause() from failed
        finally:
            self._stop()

    def watch(self) -> None:
        """Take what the others sent. Raises RankFailed some time after one has failed."""
        self._pull()
        for rank in self._crew.silent(self._pending()):
            self._fail(rank, f"not heard of for {LOST:g} seconds: it was killed, or its machine is gone")
            self._deadline = self._deadline or time.monotonic()  # nobody's failure came before that
        if self._failed and self._deadline is None:
            # torchrun ends the ranks beside a dead one, whose silence takes longer to notice.
            stopped = all(failed.kind == "Stopped" for failed in self._failed)
            self._deadline = time.monotonic() + (LOST + BEAT if stopped else GRACE)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise self._first_cause()

    def lost(self, patience: float = 3 * BEAT) -> RankFailed | None:
        """Whether another rank has gone silent: torchrun ends the ranks beside a dead one before we miss it."""
        deadline = time.monotonic() + 2 * patience
        while time.monotonic() < deadline and self._pending():
            self._pull()
            for rank in self._crew.silent(self._pending(), patience):
                return RankFailed(rank, "gone without a word: it was killed")
            time.sleep(POLL)
        return None

    def _pending(self) -> list[int]:
        gone = {failed.rank for failed in self._failed}
        return [rank for rank in self._crew.others if rank not in self.done and rank not in gone]

    def _fail(self, rank: int, message: str, kind: str = "", labels: Message | None = None) -> None:
        self._failed.append(RankFailed(rank, message, "", kind, labels))

    def _pull(self) -> None:
        for rank in self._pending():
            done = self._crew.message(f"done/{rank}")
            while (data := self._crew.take(f"notes/{rank}/{self._taken[rank]}")) is not None:
                self._sink(rank, data)
                self._taken[rank] += 1
            if done is not None:  # its notes were sent before it said so
                self.done[rank] = done
                if done["stopped"] and not self._stopping:
                    self._fail(rank, "it was told to end while it loaded", "Stopped")
                elif not done["ok"] and not done["stopped"]:
                    self._fail(rank, done["message"], done["kind"], done["labels"])

    def _first_cause(self) -> RankFailed:
        """A silent death before an exception, then as they came: peers that fail of a death say so."""
        return next((failed for failed in self._failed if not failed.kind), self._failed[0])

    def _wait_for_causes(self) -> None:
        deadline = time.monotonic() + GRACE
        while self._deadline is None and time.monotonic() < deadline and self._pending():
            self._pull()
            time.sleep(POLL)

    def _stop(self) -> None:
        """Have the others end, and take what they noted until then."""
        self._stopping = True
        if not self._pending():
            return
        self._crew.put("stop", b"1")
        deadline = time.monotonic() + ENDING
        while time.monotonic() < deadline and self._pending():
            self._pull()
            time.sleep(POLL)
