"""Git-LFS pointers: the few lines of text that stand where a clone without LFS should have a file."""

from __future__ import annotations

from tracer.checkpoint.sniff import LFS_MAGIC

LIMIT = 1024
"""The specification keeps pointers below this many bytes."""


def parse_pointer(content: bytes) -> int | None:
    """Size in bytes of the object that a pointer of this content names; None if it is no pointer."""
    if len(content) > LIMIT or not content.startswith(LFS_MAGIC):
        return None
    for line in content.splitlines():
        key, _, value = line.partition(b" ")
        if key == b"size" and value.isdigit():
            return int(value)
    return None
