"""A command in a pseudo-terminal, frame by frame: what it shows, when, and what it took. Linux only."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

COLUMNS, LINES = 120, 40
FRAME_END = b"\x1b[?2026l"
ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y", b"\x1b[?2048$p": b"\x1b[?2048;0$y"}
"""What is asked at the start, with what a terminal says that takes frames as a whole and tells its size by a signal."""
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9:;<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78cDEHMNOZ])")
PATIENCE = 60.0
"""Seconds after which something that should have been seen is given up."""


class Silent(Exception):
    """What was waited for did not come."""


class Ended(Exception):
    """There is nobody any more whose words could be read."""


class Spent(NamedTuple):
    """Seconds."""

    computed: float
    drawing: float
    """What the thread computed that draws."""
    waited: float
    """For a processor, while others had all of them. Of threads that share Python's lock no two wait at once."""


class Frame(NamedTuple):
    """What was drawn at once."""

    at: float
    """When its last byte was there."""
    spent: Spent
    """Until then."""


class Terminal:
    """One process. Frames end where it says so, as it does once it was told that this terminal understands it."""

    def __init__(self, command: Sequence[str]) -> None:
        self.begin = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(LINES))
            os.environ.pop("NO_COLOR", None)
            os.execvp(command[0], list(command))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.received = bytearray()
        self.frames: list[Frame] = []
        self._told = 0
        self._asked = dict(ANSWERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    # --- what it shows ---

    def read(self, seconds: float) -> bool:
        """Take what comes within so many seconds, as soon as any does; False when nothing came. Raises Ended."""
        if not select.select([self._fd], [], [], max(seconds, 0))[0]:
            return False
        try:
            came = os.read(self._fd, 1 << 16)
        except OSError:
            raise Ended(f"the command is gone; the last that it said: {self.text[-400:]!r}") from None
        now = time.monotonic()
        self.received += came
        ends = self.received.count(FRAME_END, self._told)
        if ends:
            self._told = self.received.rindex(FRAME_END) + len(FRAME_END)
            self.frames += [Frame(now, self.spent())] * ends
        self._answer()
        return True

    def _answer(self) -> None:
        for question in [asked for asked in self._asked if asked in self.received]:
            os.write(self._fd, self._asked.pop(question))

    @property
    def text(self) -> str:
        """All that it has written since `forget`, without colours and movements."""
        return _SEQUENCE.sub(b"", bytes(self.received)).decode(errors="replace")

    def forget(self) -> None:
        """Keep only what is not yet a whole frame."""
        del self.received[: self._told]
        self._told = 0

    def until(self, wanted: re.Pattern[str]) -> float:
        """Seconds from the start until a text was there. Raises Silent."""
        while not wanted.search(self.text):
            if not self.read(PATIENCE):
                raise Silent(f"{wanted.pattern!r} was not shown; the last of what was: {self.text[-400:]!r}")
        return time.monotonic() - self.begin

    def settle(self, quiet: float) -> None:
        """Wait until nothing came for so many seconds."""
        while self.read(quiet):
            pass

    # --- keys ---

    def type(self, keys: bytes) -> float:
        """Press them; when that was."""
        self.forget()
        now = time.monotonic()
        os.write(self._fd, keys)
        return now

    def next_frame(self, seconds: float = PATIENCE) -> Frame | None:
        """The next whole frame; None where none comes in time."""
        seen, end = len(self.frames), time.monotonic() + seconds
        while len(self.frames) == seen:
            if not self.read(end - time.monotonic()):
                return None
        return self.frames[-1]

    def ended(self) -> int:
        """Its exit status, once it has ended."""
        with suppress(Ended):
            while self.read(PATIENCE):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    # --- what it took ---

    def spent(self) -> Spent:
        """So far, by its threads; those that ended are not in it."""
        tasks = Path(f"/proc/{self.pid}/task")
        computed = drawing = waited = 0
        for thread in os.listdir(tasks):
            with suppress(OSError):
                own, others, _ = map(int, (tasks / thread / "schedstat").read_text().split())
                computed, waited = computed + own, waited + others
                drawing += own if thread == str(self.pid) else 0
        return Spent(computed / 1e9, drawing / 1e9, waited / 1e9)

    def peak(self) -> int:
        """Bytes of memory that it had at most."""
        told = Path(f"/proc/{self.pid}/status").read_text()
        return int(told.partition("VmHWM:")[2].split()[0]) << 10


if sys.platform != "linux":
    raise SystemExit("what a process took is read from /proc, which only Linux has")
