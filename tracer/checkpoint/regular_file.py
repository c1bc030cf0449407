"""Opens files that are files: no folder, no pipe and no device under a weight's name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from tracer.errors import InputError

_NAMES = [
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
]


def open_regular(path: Path) -> BinaryIO:
    """Open for reading; links are followed, since the Hub's cache is made of them."""
    try:
        # Opening a pipe without a writer would wait for one.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}", subject=path.name) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in _NAMES if test(mode)), "something else")
        raise InputError(
            f"{path}: expected a regular file, found {kind}", code="file.wrong-format", subject=path.name
        )
    return os.fdopen(descriptor, "rb")
