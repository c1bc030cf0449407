"""How the browser ends: by a signal as orderly as by a key, and without waiting for what goes on beside the screen."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from textual.app import App

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 5.0
"""Seconds from a signal to the end, whatever is in the way: a terminal that takes nothing any more is waited for."""
LEAVE = b"\x1b[<u\x1b[?1000l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[?7h\x1b[?1049l\x1b[?25h"
"""Undoes what Textual asks of a terminal."""
P = ParamSpec("P")
T = TypeVar("T")


class Ending:
    """One run of a browser. A signal closes it, and does what it always does when the terminal is as it was.

    Raised in the middle of what Textual does it could come from anywhere, also from where the terminal is given back.
    """

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._heard: int | None = None
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal) if os.isatty(self._terminal) else None
        """None where there is none: `textual serve` speaks through pipes, and its driver hears signals itself."""

    def run(self) -> int | None:
        """The exit status that the browser has itself. Raises KeyboardInterrupt where SIGINT or SIGTERM ended it."""
        status = asyncio.run(self._run())
        if self._heard is not None:
            signal.raise_signal(self._heard)
        return status

    async def _run(self) -> int | None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Aside())
        if self._before is not None:
            Thread(target=_tell_when_gone, args=(self._terminal,), daemon=True).start()
        with _handled(SIGNALS, partial(self._hear, loop)), _handled([signal.SIGALRM], self._leave):
            try:
                return await self._app.run_async()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _hear(self, loop: asyncio.AbstractEventLoop, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and _gone(self._terminal):
            os._exit(128 + number)  # nothing is left to be given back, or to be written to
        if self._heard is None:
            self._heard = number
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            loop.call_soon_threadsafe(self._app.call_later, self._app.exit)  # when all it consists of is there

    def _leave(self, number: int, frame: FrameType | None) -> None:
        """Without Textual, which waits."""
        if self._before is not None:
            with suppress(OSError, termios.error):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)
                os.set_blocking(self._terminal, False)
                os.write(self._terminal, LEAVE)
            os.set_blocking(self._terminal, True)
        os._exit(128 + (self._heard or number))


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals go there; those that whoever started this process wants to be ignored still are."""
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: own for number, own in before.items() if own is not signal.SIG_IGN}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, own in taken.items():
            signal.signal(number, own)


def _gone(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False


def _tell_when_gone(terminal: int) -> None:
    """A terminal that goes away sends SIGHUP only to the session that it controls; Textual would go on without one."""
    waiting = select.poll()
    waiting.register(terminal, 0)
    if any(event & select.POLLHUP for _, event in waiting.poll()):
        os.kill(os.getpid(), signal.SIGHUP)


class Aside(ThreadPoolExecutor):
    """A thread for each piece of work, which ends with the process: a server may take a minute to answer."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        Thread(target=_settle, args=(future, partial(fn, *args, **kwargs)), daemon=True).start()
        return future


def _settle(future: Future[Any], work: Callable[[], object]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work())
        except BaseException as error:  # whoever waits for it hears of it
            future.set_exception(error)
