"""A load tells how far it is while it writes its trace, at a cost that cannot be felt, and never fails of it.

The trace itself stays private until it is complete: SQLite readers would hold locks that its writer waits for. So the
record (`standing`) has a file of its own beside the unfinished trace. Its writer keeps that file locked and never lets
go of the lock: the system does when the process ends, however it ends, which is how a reader tells a load that was
killed from one that has nothing new to say.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tracer.standing import Share, Standing, State, decode, encode

INTERVAL = 0.25
"""Seconds between two records, at least."""
COST = 0.02
"""Of the time of a load, at most, goes into finding out how far it is, and that in a process that waits for others."""
MOST = 1 << 22
"""Bytes of a record that are read, whatever the file has."""


def live_name(partial: Path) -> Path:
    """The name of the record that belongs to an unfinished trace."""
    return partial.with_suffix(".progress")


def unfinished(record: Path) -> Path:
    """The name of the trace that a record belongs to, as long as that is written."""
    return record.with_suffix(".partial")


class Live:
    """Whoever loads. Without a path nobody is told anything."""

    def __init__(self, partial: Path | None = None) -> None:
        self.standing = Standing(pid=os.getpid())
        self._path = live_name(partial) if partial else None
        self._file = self._claimed()
        self._began = time.monotonic()
        self._next = 0.0
        self._shares: dict[int, Share] = {}
        self.tell()

    def _claimed(self) -> int | None:
        """The file, locked; None where there can be none, which is no reason not to load."""
        if self._path is None:
            return None
        try:
            self._path.unlink(missing_ok=True)  # of a dead process that had this one's number
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError:
            return None
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.standing.locked = True
        return file

    @property
    def told(self) -> bool:
        """Whether anybody may read it."""
        return self._file is not None

    @property
    def due(self) -> bool:
        """Whether it is time to say something again."""
        return self._file is not None and time.monotonic() >= self._next

    def begin(self, shares: list[Share]) -> None:
        """The ranks are about to load."""
        self.standing.shares = shares
        self._shares = {share.rank: share for share in shares}
        self.enter("loading")

    def share(self, rank: int) -> Share:
        """One rank's part, to be kept up to date."""
        return self._shares.get(rank) or self._shares.setdefault(rank, Share(rank))

    def enter(self, phase: str) -> None:
        """Something else is being done from now on."""
        self.standing.phase = phase
        self.tell()

    def tell(self, since: float | None = None) -> None:
        """Write the record. `since` is when finding out what is new began, on the monotonic clock."""
        if self._file is None:
            return
        now = time.monotonic()
        self.standing.seconds = now - self._began
        with suppress(OSError):  # a full disk
            os.pwrite(self._file, encode(self.standing), 0)
        done = time.monotonic()
        self._next = done + max(INTERVAL, (done - (now if since is None else since)) / COST)

    def end(self, state: State, reason: str = "", kept: bool = False) -> None:
        """How it ended, for those who have the file open; then the file is gone. What is said later is not heard."""
        told = self.standing
        told.state, told.reason, told.kept, told.phase = state, reason, kept, "ended"
        self.tell()
        self.close()

    def close(self) -> None:
        """Take the record away."""
        if self._file is not None and self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


class Sight:
    """Whoever follows: a record's file, kept open, so that its last word is read though its name is gone."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)

    def read(self) -> Standing | None:
        """The record; None where there is none, or none that is complete."""
        with suppress(OSError):  # it may be a folder
            for _ in range(3):
                found = decode(os.pread(self._file, min(os.fstat(self._file).st_size, MOST), 0))
                if found is not None:
                    return found
        return None

    def alive(self) -> bool | None:
        """Whether the process is there that writes it; None where that cannot be told."""
        standing = self.read()
        if standing is None or not standing.locked:
            return None
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # nobody waits for anybody
        except BlockingIOError:
            return True
        except OSError:
            return None
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def file(self) -> os.stat_result:
        """Which one it is, and when it was last written to. Raises OSError."""
        return os.fstat(self._file)

    def close(self) -> None:
        os.close(self._file)


def records_of(trace: Path) -> Iterator[Path]:
    """The records beside a trace's final name, of all loads that would write it. Raises OSError."""
    start, end = f".{trace.name}.", ".progress"
    for entry in os.scandir(trace.parent):
        name = entry.name
        if name.startswith(start) and name.endswith(end) and name[len(start) : -len(end)].isdecimal():
            yield Path(entry.path)
