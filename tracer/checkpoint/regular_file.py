"""Opens files that are files: no folder, no pipe and no device under a weight's name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
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
        raise _unopened(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _irregular(path, mode)
    return os.fdopen(descriptor, "rb")


@contextmanager
def readable(where: str, file: str) -> Iterator[None]:
    """What reading an open file raises on a bad disk, or of files that are only half of one, as InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}", subject=file) from error


def _unopened(path: Path, error: OSError) -> InputError:
    if error.errno == errno.ENXIO:
        # A socket; and a device without a driver, which cannot be opened either.
        return _irregular(path, path.stat().st_mode)
    found = f"{error.strerror}{told_link(path)}"
    return InputError(f"{path}: cannot be opened: {found}", subject=path.name)


def told_link(path: Path) -> str:
    """Where a link leads: what is missing is the file behind it."""
    try:
        return f" (a link to {os.readlink(path)})"
    except OSError:
        return ""


def _irregular(path: Path, mode: int) -> InputError:
    kind = next((name for test, name in _NAMES if test(mode)), "something else")
    return InputError(
        f"{path}: expected a regular file, found {kind}", code="file.wrong-format", subject=path.name
    )
