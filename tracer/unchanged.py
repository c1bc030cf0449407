"""Whether the files that are mapped while a load reads them are still what their headers were read from.

A page of a mapped file that was cut off ends the process that reads it, and one that was rewritten goes unnoticed;
so the files are looked at before and after.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError


class Stamp(NamedTuple):
    """What tells two states of a file apart without reading it."""

    size: int
    modified: int
    """In nanoseconds since 1970."""
    inode: int

    def __str__(self) -> str:
        seconds = datetime.fromtimestamp(self.modified / 1e9, UTC)
        return f"{self.size} bytes written {seconds:%Y-%m-%d %H:%M:%S.%f}"


def stamps(folder: Path, tensors: Iterable[TensorInfo]) -> dict[str, Stamp]:
    """The files that some tensors lie in. Raises InputError for one that has become too short to hold them."""
    ends: dict[str, int] = {}
    for tensor in tensors:
        if tensor.file is not None and tensor.offset is not None:
            ends[tensor.file] = max(ends.get(tensor.file, 0), tensor.offset + tensor.nbytes)
    found: dict[str, Stamp] = {}
    for file, end in ends.items():
        path = folder / file
        stamp = _stamp(path)
        if stamp is None or stamp.size < end:
            raise _shorter(path, f"at least {end}", stamp)
        found[str(path)] = stamp
    return found


def changed(before: Mapping[str, Stamp]) -> InputError | None:
    """The first file that is not what it was; one that became shorter first, as that ends a process."""
    now = {path: _stamp(Path(path)) for path in before}
    for path, stamp in before.items():
        new = now[path]
        if new is not None and new.size < stamp.size:
            return _shorter(Path(path), str(stamp.size), new)
    for path, stamp in before.items():
        if now[path] != stamp:
            return _another(Path(path), stamp, now[path])
    return None


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def _shorter(path: Path, expected: str, found: Stamp | None) -> InputError:
    held = f"{found.size}" if found else "no file"
    return InputError(
        f"{path}: expected {expected} bytes, found {held}: it became shorter while it was read",
        code="file.truncated", subject=path.name,
    )  # fmt: skip


def _another(path: Path, before: Stamp, found: Stamp | None) -> InputError:
    if found is None:
        held = "no file"
    elif (found.size, found.modified) == (before.size, before.modified):
        held = "another file of the same size and time"
    else:
        held = str(found)
    return InputError(
        f"{path}: expected {before}, found {held}: it changed while it was read",
        code="file.changed", subject=path.name,
    )  # fmt: skip
