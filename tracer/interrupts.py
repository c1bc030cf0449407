"""Ctrl-C and SIGTERM: both unwind the program, so that processes are ended and nothing half-written stays behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM; otherwise as Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises Terminated."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def expect_end() -> None:
    """Do not be stopped by SIGTERM any more: what this process is about to say is why it comes."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def exit_status(stop: KeyboardInterrupt) -> int:
    """The exit status that shells know: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


class Noted:
    """Signals that are noted and raise nothing: for a process that ends when another says so."""

    def __init__(self) -> None:
        self._number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number

    def status(self) -> int | None:
        """The exit status of a process that was told to end; None where it was not."""
        return None if self._number is None else 128 + self._number
