"""Whether asking a file for a few bytes here and there is free."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO


def is_local(file: BinaryIO) -> bool:
    """A file of the operating system, or bytes in memory; of a remote one each read is a request."""
    if type(file) is BytesIO:
        return True
    try:
        return file.fileno() >= 0
    except (OSError, AttributeError):
        return False
