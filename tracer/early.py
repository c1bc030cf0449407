"""Ctrl-C while a program is still importing: one line and status 130, for there is nothing yet to be undone.

Imported before everything else that the console scripts import, which takes a few tenths of a second. An exception
would not do: where it meets a class that is being made, Python raises another one in its place.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from tracer.interrupts import exit_status


def _end(number: int, frame: FrameType | None) -> None:
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    said = f"{name if name == 'trace-load' else 'tracer'}: interrupted\n"
    os.write(2, said.encode())
    os._exit(exit_status(KeyboardInterrupt()))


def over() -> None:
    """From here on it is an exception again, which unwinds what was begun."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if threading.current_thread() is threading.main_thread() and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _end)
