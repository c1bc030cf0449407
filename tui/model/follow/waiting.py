"""Whether a load is to be followed before there is a trace to be opened, and following it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tui.model.opening import TRACE_ENDINGS

if TYPE_CHECKING:
    from tui.model.follow.progress import Progress

EVERY = 0.25
"""Seconds between two looks."""


def followed(where: str | None, stopped: Callable[[], bool]) -> Iterator[Progress]:
    """How far the load is that writes this trace, until it has ended; nothing where a trace lies there already.

    A name that nothing has yet is waited for, where it is a trace's and its folder is there.
    """
    if where is None or Path(where).suffix not in TRACE_ENDINGS:
        return
    from tui.model.follow.following import Following

    path = Path(where)
    following = Following(path)
    try:
        progress = following.poll()
        if progress.state != "running" and (path.exists() or not path.parent.is_dir()):
            return
        while not stopped():
            yield progress
            if progress.ended:
                return
            time.sleep(EVERY)
            progress = following.poll()
    finally:
        following.close()
