"""Git-LFS pointers: the few lines of text that stand where a clone without LFS should have a file."""

from __future__ import annotations

from tracer.checkpoint.sniff import LFS_MAGIC

LIMIT = 1024
"""The specification keeps pointers below this many bytes."""
_LARGEST = 2**63
"""Bytes; no file system has a file of as many."""


def parse_pointer(content: bytes) -> int | None:
    """Size in bytes of the object that a pointer of this content names; None if it is no pointer.

    Raises ValueError for a size that no file has.
    """
    if len(content) > LIMIT or not content.startswith(LFS_MAGIC):
        return None
    for line in content.splitlines():
        key, _, value = line.partition(b" ")
        if key == b"size" and value.isdigit():
            if int(value) >= _LARGEST:
                raise ValueError(f"expected a Git-LFS pointer with a size below 2**63, found {_shortened(value)}")
            return int(value)
    return None


def _shortened(digits: bytes) -> str:
    text = digits.decode()
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} digits)"
