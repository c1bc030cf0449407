"""What tells two states of a file apart without reading it."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import BinaryIO, NamedTuple


class Stamp(NamedTuple):
    """Taken of an open file, it belongs to the bytes that are read from it, whatever has the file's name by then."""

    size: int
    modified: int
    """In nanoseconds since 1970."""
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def __str__(self) -> str:
        seconds = datetime.fromtimestamp(self.modified / 1e9, UTC)
        return f"{self.size} bytes written {seconds:%Y-%m-%d %H:%M:%S.%f}"


def stamp_of(file: BinaryIO) -> Stamp | None:
    """The stamp of an open file; None for one that is not on this machine."""
    try:
        return Stamp.of(os.fstat(file.fileno()))
    except io.UnsupportedOperation:
        return None
