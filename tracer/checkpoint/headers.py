"""The headers of many files, in order."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import Format
from tracer.checkpoint.header import Header


def read_headers(files: Files, format: Format, names: Sequence[str]) -> dict[str, Header]:
    """Each file's header. Raises InputError for the first that has none."""
    return {name: read_header(files, format, name) for name in names}


def read_header(files: Files, format: Format, name: str) -> Header:
    """One file's header. Raises InputError."""
    with files.open(name) as file:
        return format.read(file, files.size(name), name, files.where(name))
