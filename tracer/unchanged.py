"""Whether the files that are mapped while a load reads them are still what their headers were read from.

A page of a mapped file that was cut off ends the process that reads it, and one that was rewritten goes unnoticed;
so the stamp of each file is taken from the descriptor that its header is read from, and compared with that of every
descriptor that is mapped later, and with what has the file's name after the load.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.weights import MappedFile, map_file
from tracer.errors import InputError


def located(folder: Path, stamps: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """The stamps of a checkpoint's files under the paths that these have."""
    return {str(folder / file): stamp for file, stamp in stamps.items()}


def changed(before: Mapping[str, Stamp]) -> InputError | None:
    """What has become of the first file that is not what it was; one that became shorter first, as that ends a process.

    Paths and their stamps, as `located` gives them.
    """
    return differing(before, {path: _stamp(Path(path)) for path in before})


def differing(before: Mapping[str, Stamp], now: Mapping[str, Stamp | None]) -> InputError | None:
    """The same of stamps that were taken at two times."""
    for path, stamp in before.items():
        new = now.get(path)
        if new is not None and new.size < stamp.size:
            return _shorter(Path(path), stamp, new)
    for path, stamp in before.items():
        if now.get(path) != stamp:
            return _another(Path(path), stamp, now.get(path))
    return None


def mapping_of(stamps: Mapping[str, Stamp]) -> Callable[[Path], MappedFile]:
    """`map_file` for files of known stamps; it raises InputError for another file of that name."""

    def open_map(path: Path) -> MappedFile:
        mapped = map_file(path)
        error = differing({str(path): stamps[str(path)]}, {str(path): mapped.stamp})
        if error is not None:
            mapped.close()
            raise error
        return mapped

    return open_map


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(os.stat(path))
    except OSError:
        return None


def _shorter(path: Path, before: Stamp, found: Stamp) -> InputError:
    return InputError(
        f"{path}: expected {before.size} bytes, found {found.size}: it became shorter while it was read",
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
