"""Where a copy may be written, and how it gets there: complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracer.errors import UsageError
from tracer.outputs import partial_of


def check_target(target: Path, source: Path) -> Path:
    """The folder that `target` really is; `source` is the folder of the checkpoint.

    Raises UsageError where writing there would change what is there, or touch the checkpoint, or cannot succeed.
    """
    try:
        real, origin = target.resolve(), source.resolve()
        if _within(real, origin) or _within(origin, real):
            raise UsageError(f"{target}: the copy and the checkpoint {source} would lie one in the other")
        if real.exists() and not real.is_dir():
            raise UsageError(f"{target}: expected a new or an empty folder, found a file")
        if real.exists() and next(real.iterdir(), None) is not None:
            raise UsageError(f"{target}: expected a new or an empty folder, found one that holds files")
        if real.is_mount():  # said now: the copy would be complete before the system refuses it the name
            raise UsageError(f"{target}: a mount point can be no copy's own folder; name a folder inside it")
        if not real.parent.is_dir():
            raise UsageError(f"{target}: there is no folder {real.parent}")
        if not os.access(real.parent, os.W_OK | os.X_OK):
            raise UsageError(f"{target}: the folder {real.parent} is read-only")
    except (OSError, RuntimeError) as error:  # a link to itself is either, by version
        raise UsageError(f"{target}: {getattr(error, 'strerror', None) or error}") from error
    return real


def _within(inner: Path, outer: Path) -> bool:
    """Whether one is the other or somewhere inside it, by whatever name."""
    return any(folder.exists() and outer.exists() and folder.samefile(outer) for folder in (inner, *inner.parents))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its name when the block ends, and is gone when anything is raised.

    What was written into it is to be on disk by then. Raises UsageError for what the system refuses, a full disk or a
    name that has been taken meanwhile.
    """
    partial = partial_of(target)
    try:
        partial.mkdir()
        try:
            yield partial
            for folder, _, _ in os.walk(partial):
                _sync(Path(folder))
            os.rename(partial, target)  # takes the place of an empty folder, and of no other
            _sync(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}; nothing was left there") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_room(folder: Path, needed: int) -> None:
    """Raises UsageError where the disk has less."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        message = f"the copy needs {needed} bytes, the disk has {free} free; nothing was written"
        raise UsageError(f"{folder.parent}: {message}")
