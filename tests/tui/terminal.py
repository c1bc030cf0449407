"""A program in a pseudo-terminal: what it writes there, how it ends, and in which state it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE = 60.0
"""Seconds after which what should have come is given up; a machine with many things to do needs some."""
COLUMNS, LINES = 80, 24
ROOT = Path(__file__).parents[2]
BROWSE = (sys.executable, "-P", "-m", "tracer", "browse")
FULL_SCREEN, NORMAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9:;<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>78])")
MOUSE, NO_MOUSE = b"\x1b[?1000h", b"\x1b[?1000l"


class Terminal:
    """One process with a terminal of its own."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self._master, self._slave = pty.openpty()
        self._open = [self._master, self._slave]
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            command, stdin=self._slave, stdout=self._slave, stderr=self._slave, process_group=0,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip
        self.written = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Take the terminal away."""
        while self._open:
            os.close(self._open.pop())

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def until(self, text: str) -> None:
        """Wait for a text."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.written:
            assert time.monotonic() < end and self.process.poll() is None, f"{text!r} never came: {self.written!r}"
            self._take(0.1)

    def stopped(self) -> None:
        """Wait until it was sent to the background."""
        status = Path(f"/proc/{self.process.pid}/stat")
        end = time.monotonic() + PATIENCE
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < end, f"it goes on: {self.written[-2000:]!r}"
            self._take(0.05)
        while self._take(0):
            pass

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end: {self.written[-2000:]!r}"
            self._take(0.05)
        while self._take(0):
            pass
        return self.process.returncode

    def ended_unread(self) -> int:
        """The same, while nobody reads what it writes."""
        return self.process.wait(PATIENCE)

    @property
    def told(self) -> list[str]:
        """The lines that stand there when the browser is gone: what was written outside of its screen."""
        start, _, rest = self.written.partition(FULL_SCREEN)
        text = _SEQUENCE.sub(b"", start + rest.rpartition(NORMAL_SCREEN)[2]).decode()
        return [line for line in text.splitlines() if line.strip()]

    @property
    def after(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._slave)

    @property
    def as_before(self) -> bool:
        """Whether whoever goes on typing here finds the terminal as it was: nothing echoes or hides what should not."""
        last = self.written.rfind
        pairs = ((FULL_SCREEN, NORMAL_SCREEN), (HIDE, SHOW), (MOUSE, NO_MOUSE))
        return self.after == self.before and all(last(undone) >= last(done) for done, undone in pairs)

    def _take(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self.written += os.read(self._master, 1 << 16)
        return True
