"""Git-LFS pointers: the few lines of text that stand where a clone without LFS should have a file."""

from __future__ import annotations

from pathlib import Path

from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.sniff import LFS_MAGIC

_LIMIT = 1024
"""The specification keeps pointers below this many bytes."""


def pointer_size(path: Path) -> int | None:
    """Size in bytes of the object that the pointer at `path` names; None if `path` is no pointer."""
    with open_regular(path) as file:
        return parse_pointer(file.read(_LIMIT + 1))


def parse_pointer(content: bytes) -> int | None:
    if len(content) > _LIMIT or not content.startswith(LFS_MAGIC):
        return None
    for line in content.splitlines():
        key, _, value = line.partition(b" ")
        if key == b"size" and value.isdigit():
            return int(value)
    return None
