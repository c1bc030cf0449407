"""What a case may cost. Memory is bounded by the operating system while our code runs, and only then."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 200_000_000
"""Bytes that one case may take beyond what the process has: an allocation of more raises MemoryError."""
SECONDS = 20.0
"""A case that runs for longer hangs: the process is ended, and its parent says which case it was."""


@contextmanager
def bounded(nbytes: int = MEMORY) -> Iterator[None]:
    """Within it the address space grows by no more. Only Linux holds to that; elsewhere it does nothing."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def within_time(seconds: float = SECONDS) -> None:
    """From now on: the process is ended after it, with its stack on stderr, whatever it is busy with; 0: no more.

    The kernel counts, where it can: a thread that counts would be started anew for each case, and waited for.
    """
    if sys.platform != "win32":
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    elif seconds:
        faulthandler.dump_traceback_later(seconds, exit=True)
    else:
        faulthandler.cancel_dump_traceback_later()


def _address_space() -> int:
    """Bytes of this process, used or not."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


def peak() -> int:
    """The most memory that this process has used so far, in bytes; 0 where nobody says."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
