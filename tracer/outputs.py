"""Where results may be written: never over an input, never over what is not a plain file, complete or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracer.errors import UsageError


def check_output(option: str, target: Path, inputs: Iterable[str | None]) -> None:
    """Raise UsageError if writing `target` would destroy something, or cannot succeed."""
    try:
        _check_target(option, target)
        for given in inputs:
            if given is not None and _touches(target.resolve(), Path(given).resolve()):
                raise UsageError(f"{option} {target}: that is in {given}, which is an input and never written to")
    except OSError as error:
        raise UsageError(f"cannot write {option} {target}: {error.strerror}") from error


def check_distinct(option: str, target: Path, other_option: str, other: Path) -> None:
    """Raise UsageError if two outputs would be written to one file."""
    try:
        same = _touches(target.resolve(), other.resolve())
    except OSError as error:
        raise UsageError(f"cannot write {option} {target}: {error.strerror}") from error
    if same:
        raise UsageError(f"{other_option} {other} and {option} {target}: both outputs have the same name")


def _check_target(option: str, target: Path) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {option} {target}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        # Said now: the load may take an hour, and what it found could then not be written.
        raise UsageError(f"cannot write {option} {target}: the folder {target.parent} is read-only")
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise UsageError(f"cannot write {option} {target}: it is no plain file")


def _touches(target: Path, given: Path) -> bool:
    """Whether a file is an input, or lies in a folder that is one."""
    if given.is_dir():
        return target.is_relative_to(given)
    return target == given or (given.exists() and target.exists() and target.samefile(given))


def check_store(target: Path) -> None:
    """Raise UsageError if a file is there that is no trace store."""
    if target.exists() and target.stat().st_size and not is_store(target):
        raise UsageError(f"--save {target}: the file is no trace store; remove it or choose another name")


def is_store(path: Path) -> bool:
    """Whether a file begins like an SQLite file."""
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def partial_of(path: Path) -> Path:
    """The name that a file has until it is complete."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write_lines(path: Path, lines: Iterator[str]) -> None:
    """Write a text file beside its name, then rename it. Raises UsageError."""
    partial = partial_of(path)
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        os.replace(partial, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
