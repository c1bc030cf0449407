"""One line on a terminal that says how far reading has come, how fast it is and how long it will take."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from tracer.commands.output import steerable
from tracer.report.words import size

EVERY = 0.2
"""Seconds between two lines."""
_WIDTH = 24


class Progress:
    """Hears of bytes done and bytes in all; gone from the terminal when the `with` ends. Silent elsewhere."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._live = steerable(sys.stderr) and not quiet
        self._began = self._next = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + EVERY
            print(f"\r{line(self._what, done, total, now - self._began)}\033[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def line(what: str, done: int, total: int, seconds: float) -> str:
    """`reading [########                ]  33%  5.21 GB of 16.06 GB, 1.41 GB/s, 8 s left`."""
    share = min(1.0, done / total) if total else 1.0
    bar = "#" * int(share * _WIDTH)
    told = f"{what} [{bar:<{_WIDTH}}] {share:4.0%}  {size(done)} of {size(total)}"
    if seconds < EVERY or not done:
        return told
    rate = done / seconds
    return f"{told}, {size(int(rate))}/s, {duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
