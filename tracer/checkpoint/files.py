"""The files of a checkpoint, wherever they are: what everything above asks of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from tracer.checkpoint.lfs import LIMIT, parse_pointer
from tracer.checkpoint.regular_file import open_regular, readable
from tracer.errors import InputError


class Files(Protocol):
    """A folder here (`LocalFiles`), or a repository on the Hub (`hub.HubFiles`)."""

    @property
    def title(self) -> str:
        """As the user named it."""

    @property
    def folder(self) -> Path | None:
        """Where the files can be mapped; None where their bytes are not on this machine."""

    @property
    def commit(self) -> str | None:
        """Of the repository on the Hub; None for what is not known to come from there."""

    @property
    def one_file(self) -> bool:
        """Whether the user named one file, and nothing beside it counts as weights."""

    @property
    def at_once(self) -> int:
        """How many files are best opened at the same time: several where each costs a wait for somebody's answer."""

    def names(self) -> list[str]:
        """Relative names in natural order, sub-folders with `/`: those of the top level and of one level below."""

    def has(self, file: str) -> bool:
        """Whether there is anything at this name, however deep."""

    def size(self, file: str) -> int:
        """Bytes."""

    def open(self, file: str) -> BinaryIO:
        """Seekable, for reading. Where remote, a read of n bytes is one request for n bytes."""

    def pointer_size(self, file: str) -> int | None:
        """Size of the file that a Git-LFS pointer at this name stands for; None if it is no pointer.

        Raises InputError for a size that no file has.
        """

    def where(self, file: str) -> str:
        """The file's name in messages."""


class LocalFiles:
    """A folder on this machine; or one file of it."""

    at_once = 1
    commit: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.one_file = not path.is_dir()
        self.folder = path.parent if self.one_file else path

    @property
    def title(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        return list(self._names)

    @cached_property
    def _names(self) -> list[str]:
        # Asked for several times, and there are folders of a hundred thousand files.
        return [self.path.name] if self.one_file else in_natural_order(_two_levels(self.folder))

    def has(self, file: str) -> bool:
        # A link that leads nowhere is there, and cannot be read: saying that it is missing would mislead.
        path = self.folder / file
        return path.exists() or path.is_symlink()

    def size(self, file: str) -> int:
        with self.open(file) as opened, readable(self.where(file), file):
            return opened.seek(0, 2)

    def open(self, file: str) -> BinaryIO:
        if not _is_text(file):
            raise InputError(f"{self.where(file)}: expected a name in UTF-8; rename the file", subject=file)
        return open_regular(self.folder / file)

    def pointer_size(self, file: str) -> int | None:
        with self.open(file) as opened, readable(self.where(file), file):
            content = opened.read(LIMIT + 1)
        try:
            return parse_pointer(content)
        except ValueError as error:
            raise InputError(f"{self.where(file)}: {error}", code="file.lfs-pointer", subject=file) from error

    def where(self, file: str) -> str:
        return str(self.folder / file)


def read_all(files: Files, file: str, limit: int) -> bytes:
    """The whole of a file that must be small. Raises InputError for one of more than `limit` bytes, unread."""
    size = files.size(file)
    if size > limit:
        raise InputError(f"{files.where(file)}: expected at most {limit} bytes, found {size}", subject=file)
    with files.open(file) as opened, readable(files.where(file), file):
        return opened.read(size)


def _is_text(name: str) -> bool:
    """Whether a file's name can be written down; on Linux it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_natural_order(names: Sequence[str]) -> list[str]:
    """2 before 10."""
    return sorted(names, key=_natural)


def _natural(file: str) -> list[tuple[bool, int, str, str]]:
    """Numbers by length, then by digits: a name may have more of them than Python makes a number of."""
    parts = re.split("([0-9]+)", file)
    return [_key(part, number=bool(position % 2)) for position, part in enumerate(parts)]


def _key(part: str, *, number: bool) -> tuple[bool, int, str, str]:
    digits = part.lstrip("0")
    return (True, len(digits), digits, part) if number else (False, 0, part, "")


def _two_levels(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [name for entry in entries for name in (entry.name, *_inside(entry))]


def _inside(entry: os.DirEntry[str]) -> list[str]:
    """One level down is where publishers put second copies; further down is somebody else's."""
    try:
        folder = not entry.name.startswith(".") and entry.is_dir()
        return [f"{entry.name}/{below}" for below in os.listdir(entry)] if folder else []
    except OSError:
        # Also of a link to itself. Whose content is needed is opened by name, and says then why it cannot be.
        return []
