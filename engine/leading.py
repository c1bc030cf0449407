"""Rank 0's part in a crew: wait for the others, collect what they note, end them, say how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.crew import BEAT, LOST, Crew, Lost, Message
from engine.launch import GRACE, PATIENCE, POLL, RankFailed


def assemble(crew: Crew) -> list[Message]:
    """What each rank said of itself on arrival, in rank order. Raises RankFailed for one that does not come."""
    hellos: list[Message] = []
    while len(hellos) < crew.size:
        hello = crew.message(f"hello/{len(hellos)}")
        if hello is not None:
            hellos.append(hello)
            continue
        for rank in crew.silent(crew.others):
            raise RankFailed(rank, "did not come, or is gone")
        time.sleep(POLL)
    return hellos


def dismiss(crew: Crew, status: int) -> None:
    """Tell the others with which status to exit, and wait until they know, but not for the dead."""
    try:
        crew.put("verdict", {"status": status})
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and _unaware(crew):
            time.sleep(POLL / 2)
        crew.put("go", b"1")
        time.sleep(POLL)  # whoever serves the store is needed until all have read this
    except Lost:
        pass
    crew.close()


def _unaware(crew: Crew) -> bool:
    unaware = [rank for rank in crew.others if crew.get(f"aware/{rank}") is None]
    return bool(set(unaware) - set(crew.silent(unaware, 3 * BEAT)))


class Leader:
    """Rank 0's part. `sink(rank, data)` takes the notes of another rank, in order."""

    def __init__(self, crew: Crew, sink: Callable[[int, bytes], Any]) -> None:
        self._crew = crew
        self._sink = sink
        self._taken = dict.fromkeys(crew.others, 0)
        self.done: dict[int, Message] = {}
        self._failed: list[RankFailed] = []
        self._deadline: float | None = None

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
        if self._failed and self._deadline is None:
            self._deadline = time.monotonic() + GRACE
        if self._deadline is not None and time.monotonic() > self._deadline:
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
                if not done["ok"] and not done["stopped"]:
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
        if not self._pending():
            return
        self._crew.put("stop", b"1")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._pending():
            self._pull()
            time.sleep(POLL)
