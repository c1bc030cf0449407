"""The user's own rows: `--mapping FILE`."""

from __future__ import annotations

from pathlib import Path

from mappings.architectures import BUILT_IN
from mappings.rows import Architecture
from mappings.userfile import MappingFileError, parse_mapping
from tracer.checkpoint.regular_file import open_regular
from tracer.errors import InputError, UsageError

_LONGEST = 10_000_000
"""Bytes; a thousand times those of the largest architecture."""


def read_rows(path: str) -> str:
    """The text of the file. Raises InputError."""
    with open_regular(Path(path)) as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise InputError(f"{path}: expected at most {_LONGEST} bytes, found more", subject=path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8, byte {error.start} is not", subject=path) from error


def parse_rows(text: str | None, path: str | None) -> list[Architecture]:
    """What it adds to the built-in architectures. Raises UsageError."""
    if text is None:
        return []
    try:
        return [parse_mapping(text, BUILT_IN)]
    except MappingFileError as error:
        raise UsageError(f"--mapping {path or 'of the trace'}: {error}") from error
