"""Follows a load that writes its trace in another process, from before it begins until its trace is there.

Two places are read, and both may come, change and go at any moment: the record that the load keeps beside its
unfinished trace (`tracer.live`), and the trace under its final name.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from tracer.checkpoint.stamp import Stamp
from tracer.errors import TraceLoadError
from tracer.live import Sight, records_of, unfinished
from tracer.report.words import plural
from tracer.shares import stored_shares
from tracer.standing import Share, Standing
from tracer.store import Store
from tui.model.follow.progress import Progress, State, fraction

WAIT = 0.2
"""Seconds that a trace may be locked by whoever else has it before that is said."""
EARLY = 1.0
"""Seconds of moving before which nothing is said of the time that is left."""
KILLED = "its process is gone and said nothing: it was killed, or its machine went down"


class Following:
    """One trace by its final name. For one thread at a time; reading a trace of a terabyte takes it a second."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._sight: Sight | None = None
        self._last: Standing | None = None
        """What the record said when it was last read."""
        self._news = 0.0
        """When that was something new."""
        self._from: Standing | None = None
        """What it said when it was first seen to have moved anything."""
        self._before: Stamp | None = None
        """What had the final name when the load ended."""
        self._finished: tuple[Stamp, Progress] | None = None
        """The trace under the final name, as it was read."""

    def poll(self) -> Progress:
        """What is known now. Never raises, whatever is there."""
        try:
            return self._live() or self._final()
        except OSError as error:
            return Progress(self._path, "unreadable", error.strerror or str(error))

    def close(self) -> None:
        """Follow no more."""
        if self._sight is not None:
            self._sight.close()
            self._sight = None

    # --- the record ---

    def _live(self) -> Progress | None:
        """The load that is under way, or died under way; None where there is none. Raises OSError."""
        if self._sight is None or not self._sight.alive():
            self._sight = self._sought()
        if self._sight is None:
            self._last = self._last if self._last and self._last.state != "running" else None
            return None
        alive = self._sight.alive()
        standing = self._sight.read() or self._last  # after that: the last word of a process that is gone
        if standing is None:
            return None
        self._note(standing)
        if standing.state != "running":
            self._before = self._stamp()
            self.close()
            return None
        state: State = "cut short" if alive is False else "running"
        said = self._killed(unfinished(self._sight.path)) if alive is False else ""
        quiet = 0.0 if alive is False else self._clock() - self._news
        return Progress(self._path, state, said, standing, quiet, alive, self._left(standing))

    def _killed(self, left: Path) -> str:
        return f"{KILLED}; what is left of its trace, {left.name}, is not complete" if left.exists() else KILLED

    def _note(self, standing: Standing) -> None:
        before = self._last
        if before is None or replace(before, seconds=standing.seconds) != standing:
            self._news = self._clock()
        if self._from is None or before is None or before.pid != standing.pid:
            self._from = standing if any(share.moves for share in standing.shares) else None
        self._last = standing

    def _left(self, standing: Standing) -> float | None:
        """Seconds, if it goes on as it has gone on since it was first seen to move something."""
        start = self._from
        now, then = fraction(standing.shares), fraction(start.shares) if start else None
        if start is None or now is None or then is None or now <= then:
            return None
        took = (standing.seconds or 0.0) - (start.seconds or 0.0)
        return took * (1 - now) / (now - then) if took >= EARLY else None

    def _sought(self) -> Sight | None:
        """The load that spoke last, one that goes on before one that does not. Raises OSError."""
        found = {sight.file().st_ino: sight for sight in self._sights()}
        order = sorted(found.values(), key=lambda sight: (sight.alive() is not False, sight.file().st_mtime_ns))
        best = order.pop() if order else None
        if best is not None and best.alive() is False and best.file().st_mtime_ns < self._written():
            order.append(best)
            best = None
        for sight in order:
            sight.close()
        return best

    def _sights(self) -> Iterator[Sight]:
        """All records that say anything; the one that is known last, so that it is kept."""
        for path in records_of(self._path) if self._path.parent.is_dir() else ():
            with suppress(OSError):  # gone meanwhile, or not to be read
                sight = Sight(path)
                if sight.read() is None or self._known(sight):
                    sight.close()
                else:
                    yield sight
        if self._sight is not None:
            yield self._sight

    def _known(self, sight: Sight) -> bool:
        return self._sight is not None and self._sight.file().st_ino == sight.file().st_ino

    # --- the trace ---

    def _written(self) -> int:
        """When the trace under the final name was."""
        stamp = self._stamp()
        return stamp.modified if stamp else 0

    def _stamp(self) -> Stamp | None:
        try:
            return Stamp.of(self._path.stat())
        except OSError:
            return None

    def _final(self) -> Progress:
        """Raises OSError."""
        stamp = self._stamp()
        if self._last is not None and not self._last.kept and stamp == self._before:
            return self._unkept(self._last, stamp is not None)
        if stamp is None:
            return self._nothing()
        if self._finished is None or self._finished[0] != stamp:
            progress = self._read()
            if progress.state == "unreadable":
                return progress
            self._finished, self._last = (stamp, progress), None
        return self._finished[1]

    def _unkept(self, standing: Standing, older: bool) -> Progress:
        """The load that was followed ended, and what has its trace's name, if anything, was there before."""
        stopped = standing.state == "interrupted"
        why = f"{standing.reason}; " if standing.reason else ""
        said = f"{why}no trace was kept" + (", what is there is an older one" if older else "")
        return Progress(self._path, "cut short" if stopped else "failed", said, standing)

    def _nothing(self) -> Progress:
        if self._last is None and self._finished is None:
            return Progress(self._path, "absent", "nothing is there yet, and no load writes it")
        return Progress(self._path, "lost", "the trace was there, or was about to be, and is not there now", self._last)

    def _read(self) -> Progress:
        try:
            with closing(Store.open(self._path, WAIT)) as store:
                return _ended(self._path, store, self._last if self._last and self._last.kept else None)
        except (TraceLoadError, sqlite3.Error, ValueError, TypeError) as error:
            return Progress(self._path, "unreadable", str(error))


def _ended(path: Path, store: Store, told: Standing | None) -> Progress:
    """What a trace says of its load; `told` is what that said itself. Raises what reading a damaged trace does."""
    run, end = store.run, store.end
    planned = {share.rank: share for share in told.shares} if told else {}
    seconds = told.seconds if told else None
    state, said = _how(store)
    found: Counter[str] = Counter(finding.severity for finding in store.findings())
    standing = Standing(
        run.model, run.tp, "ended", "done" if end else "failed", kept=True, tensors=store.count("tensor"),
        seconds=end.seconds if end else seconds, findings=dict(found),
        shares=[_whole(share, planned.get(share.rank), state) for share in stored_shares(store)],
    )  # fmt: skip
    return Progress(path, state, said, standing)


def _how(store: Store) -> tuple[State, str]:
    """How the load ended that left this trace."""
    if store.end is not None:
        moves = plural(store.end.moves, "move")
        if store.run.observed:
            return "done", f"{moves} observed"
        return "planned", f"{moves} planned, nothing was executed"
    failed = next((check.reason for check in store.checks() if (check.name, check.state) == ("load", "failed")), None)
    if failed is None:
        return "cut short", "the trace has no end"
    return ("cut short" if failed == "interrupted" else "failed"), failed


def _whole(share: Share, told: Share | None, state: State) -> Share:
    """With its totals: those that were told, or where all was done or is to be done what the trace has."""
    if state == "planned":
        return Share(share.rank, share.moves, share.nbytes or None)
    if told is not None:
        return replace(share, planned_moves=told.planned_moves, planned_bytes=told.planned_bytes)
    if state == "done":
        return replace(share, planned_moves=share.moves, planned_bytes=share.nbytes or None)
    return share
