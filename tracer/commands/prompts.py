"""The prompts of `tracer generate`: arguments, ids, a file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tracer.errors import InputError, UsageError

LARGEST = 1 << 30
"""Bytes of a file of prompts; more is no file of prompts."""


def prompts_of(args: argparse.Namespace) -> list[str | list[int]]:
    """In the order: arguments, --prompt-ids, --prompts. Raises UsageError where there is none, InputError."""
    found: list[str | list[int]] = [*args.prompts]
    found += [_ids(text, "--prompt-ids") for text in args.prompt_ids or []]
    if args.prompts_file is not None:
        found += _read(args.prompts_file)
    if not found:
        raise UsageError('no prompt: expected "text", --prompt-ids 1,2,3 or --prompts FILE')
    return found


def _ids(text: str, where: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{where} {text}: expected whole numbers with commas between them") from None


def _read(path: Path) -> list[str | list[int]]:
    """A prompt a line; a line that is a JSON string or a JSON list of ids is that, so prompts may hold line breaks."""
    data = _bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = data[error.start]
        raise InputError(f"{path}: byte {error.start}: expected UTF-8, found 0x{found:02x}") from error
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # not splitlines(): a prompt may hold form feeds and U+2028
    return [_line(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _bytes(path: Path) -> bytes:
    """`-` is stdin. Raises InputError."""
    try:
        if str(path) == "-" and sys.stdin is not None:
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{error.strerror or error}: {path}") from error
    if len(data) > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST >> 30} GiB, expected a prompt a line")
    return data


def _line(line: str, where: str) -> str | list[int]:
    if line[0] not in '["':
        return line
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: begins like JSON and is none: {error}; text that begins so stands as a JSON string"
                         ) from error  # fmt: skip
    if isinstance(value, str):
        return value
    if all(type(number) is int for number in value):
        return list(value)
    raise InputError(f"{where}: expected a list of whole numbers")
