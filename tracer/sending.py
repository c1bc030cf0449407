"""Notes on their way to another machine: JSON, a batch a line, so that any Python reads it and garbage does nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from tracer.errors import InputError
from tracer.recorder import Growing, Note, next_batch

_NUMBERS = "numbers"
"""In `_FIELDS`: a list of whole numbers, which JSON has instead of a tuple."""
_VIEWS = (int, _NUMBERS, _NUMBERS, int, _NUMBERS)
_OPTIONAL = (str, type(None))
_SHARD = (str, int, type(None))
_FIELDS: dict[str, tuple[Any, ...]] = {
    "file": (str, int, int, int),
    "param": (str, _NUMBERS, _NUMBERS, str, _OPTIONAL),
    "move": (str, str, str, _SHARD, _OPTIONAL, *_VIEWS),
    "pad": (str, (int, float), str, int, _NUMBERS, _NUMBERS),
}
"""What follows each kind of note."""


class Tail:
    """What a spool has grown by since the last look, for whoever reads it from afar."""

    def __init__(self, path: Path) -> None:
        self._batches = Growing(path, next_batch)

    def __call__(self) -> bytes:
        return "".join(json.dumps(batch, separators=(",", ":")) + "\n" for batch in self._batches()).encode()


def read_sent(path: Path, rank: int) -> Iterator[list[Note]]:
    """The batches that came from another machine; a last one that was cut short is left out.

    Raises InputError for anything that is no note.
    """
    return Growing(path, partial(next_sent, rank))()


def next_sent(rank: int, file: BinaryIO) -> list[Note] | None:
    """The batch that begins where their file stands; None where there is none, or not all of it yet."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        return [_note(note) for note in json.loads(line)]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise InputError(f"rank {rank}: expected its notes, found something else: {error}") from error


def _note(data: Any) -> Note:
    kind, *values = data
    fields = _FIELDS[kind]
    if len(values) != len(fields):
        raise ValueError(f"{len(values)} values in a note of kind {kind}, not {len(fields)}")
    return [kind, *map(_value, values, fields)]


def _value(value: Any, wanted: Any) -> Any:
    if wanted is _NUMBERS:
        if type(value) is not list or any(type(number) is not int for number in value):
            raise ValueError(f"{str(value)[:40]!r} for whole numbers")
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise ValueError(f"{str(value)[:40]!r} in a note")
    return value
