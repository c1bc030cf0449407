"""The prompts of `tracer generate`: arguments, ids, a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tracer.errors import InputError, UsageError
from tracer.execute import Prompts

LARGEST = 1 << 30
"""Bytes of a file of prompts; more is no file of prompts."""
STDIN = "-"


def prompts_of(args: argparse.Namespace) -> Prompts:
    """In the order: arguments, --prompt-ids, --prompts. Raises UsageError where there is none, InputError."""
    found: list[tuple[str, str | list[int]]] = [("", prompt) for prompt in args.prompts]
    found += [("", _ids(text, "--prompt-ids")) for text in args.prompt_ids or []]
    if args.prompts_file is not None:
        found += _read(args.prompts_file)
    if not found:
        raise UsageError('no prompt: expected "text", --prompt-ids 1,2,3 or --prompts FILE')
    return Prompts([prompt for _, prompt in found], [place for place, _ in found])


def _ids(text: str, where: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{where} {text}: expected whole numbers with commas between them") from None


def _read(path: Path) -> Iterator[tuple[str, str | list[int]]]:
    """A prompt a line, and where it stands; a line that is a JSON string or a JSON list of ids is that, so prompts may
    hold line breaks.
    """  # fmt: skip
    data, name = _bytes(path), "standard input" if str(path) == STDIN else str(path)
    if len(data) > LARGEST:
        raise InputError(f"{name}: larger than {LARGEST >> 30} GiB, expected a prompt a line")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"{name}: line {len(_lines(data[: error.start].decode('utf-8')))}: byte {error.start}"
        raise InputError(f"{place}: expected UTF-8, found 0x{data[error.start]:02x}") from error
    for number, line in enumerate(_lines(text.removeprefix("\ufeff")), 1):
        if line.strip():
            place = f"{name}: line {number}"
            yield place, _line(line, place)


def _lines(text: str) -> list[str]:
    """Not splitlines(): a prompt may hold form feeds and U+2028."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _bytes(path: Path) -> bytes:
    """No more than tells that it is too large. Raises InputError."""
    try:
        if str(path) != STDIN:
            with path.open("rb") as file:
                return file.read(LARGEST + 1)
        if sys.stdin is None:
            raise InputError(f"--prompts {STDIN}: standard input is closed, expected a prompt a line")
        return sys.stdin.buffer.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{error.strerror or error}: {path}") from error


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
