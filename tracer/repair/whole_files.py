"""Copies files as they are: by sharing their blocks where the file system can, else in the kernel, else by reading.

Never a hard link or a symbolic link: the copy is to be another checkpoint, which outlives its source and does not
change with it. Blocks that are shared until one side writes to them (btrfs, XFS) are no such tie.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError

AT_ONCE = 64 << 20
"""Bytes between two signs of progress, and two chances for Ctrl-C."""
_IN_MEMORY = 1 << 20
_FICLONE = 0x40049409
"""ioctl_ficlone(2)."""
_ELSEWHERE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF)
"""What says that this way of copying is not to be had here, rather than that copying failed."""


def clone(source: Path, target: Path, stamp: Stamp | None) -> bool:
    """A new file with the blocks of another, which takes no room; False, and no file, where that is not to be had.

    Raises InputError for a source that is not of that stamp; OSError.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    with _unchanged(source, stamp) as read, target.open("xb") as write, suppress(OSError):
        fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())
        os.fsync(write.fileno())
        return True
    target.unlink()
    return False


def copy(source: Path, target: Path, stamp: Stamp | None, progress: Callable[[int], object]) -> int:
    """A new file with the same bytes, on disk when this returns; their number. `progress` hears of each that is done.

    Raises InputError for a source that is not of that stamp, or ends early; OSError.
    """
    with _unchanged(source, stamp) as read, target.open("xb", buffering=0) as write:
        size, done = os.fstat(read.fileno()).st_size, 0
        while done < size:
            count = _some(read.fileno(), write.fileno(), min(AT_ONCE, size - done))
            if not count:
                raise InputError(
                    f"{source}: expected {size} bytes, found {done}: it was cut short while it was copied",
                    code="file.truncated", subject=source.name,
                )  # fmt: skip
            done += count
            progress(count)
        os.fsync(write.fileno())
    return done


def write_small(target: Path, content: bytes) -> None:
    """A new file of content that is in memory, on disk when this returns. Raises OSError."""
    with target.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unchanged(source: Path, stamp: Stamp | None) -> BinaryIO:
    read = open_regular(source)
    found = Stamp.of(os.fstat(read.fileno()))
    if stamp in (None, found):
        return read
    read.close()
    what = f"expected {stamp}, found {found}: it changed after its header was read"
    raise InputError(f"{source}: {what}", code="file.changed", subject=source.name)


def _some(read: int, write: int, count: int) -> int:
    """So many bytes at most, from where the one file is to where the other is; 0 at the end."""
    for way in (_in_the_kernel, _sent):
        try:
            copied = way(read, write, count)
        except OSError as error:
            if error.errno not in _ELSEWHERE:
                raise
        else:
            if copied:
                return copied
    # Some file systems say that there is nothing to copy where they cannot copy.
    content = os.read(read, min(count, _IN_MEMORY))
    done = 0
    while done < len(content):
        done += os.write(write, content[done:])
    return done


def _in_the_kernel(read: int, write: int, count: int) -> int:
    return os.copy_file_range(read, write, count) if sys.platform == "linux" else 0


def _sent(read: int, write: int, count: int) -> int:
    return os.sendfile(write, read, None, count) if sys.platform == "linux" else 0
