"""config.json with some fields set and others removed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import combinations

from tracer.checkpoint.files import Files, read_all
from tracer.checkpoint.json_object import READ_LIMIT, read_object
from tracer.errors import UsageError
from tracer.repair.changes import Change, RemoveField, SetField
from tracer.repair.config_text import NoSuchField, remove_field, set_field

CONFIG = "config.json"


def edited(files: Files, stages: Iterable[Iterable[Change]]) -> bytes | None:
    """The new content of config.json after one stage of changes and the next; None where no change is of it.

    Raises UsageError for changes that contradict each other or remove what is not there, InputError for a file that
    cannot be read.
    """
    edits = [[change for change in changes if isinstance(change, SetField | RemoveField)] for changes in stages]
    if not any(edits):
        return None
    text = _text(files)
    for stage in edits:
        text = _after(text, stage)
    return text.encode()


def _after(text: str, edits: Sequence[SetField | RemoveField]) -> str:
    try:
        _check(edits)
        for edit in {told(edit): edit for edit in edits}.values():
            if isinstance(edit, SetField):
                text = set_field(text, edit.field, edit.value)
            else:
                text = remove_field(text, edit.field)
        return text
    except (NoSuchField, TypeError, ValueError) as error:
        raise UsageError(f"{CONFIG}: {error}") from None


def _text(files: Files) -> str:
    """As it is; an object without fields where there is none."""
    if not files.has(CONFIG):
        return "{}\n"
    read_object(files, CONFIG, "config.invalid")
    return read_all(files, CONFIG, READ_LIMIT).decode()


def _check(edits: Sequence[SetField | RemoveField]) -> None:
    for edit in edits:
        if not all(edit.field.split(".")):
            raise UsageError(f"{CONFIG}: expected the name of a field, found {edit.field!r}")
    for one, other in combinations(edits, 2):
        inside = any(a.field.startswith(f"{b.field}.") for a, b in ((one, other), (other, one)))
        if inside or (one.field == other.field and told(one) != told(other)):
            raise UsageError(f"{CONFIG}: two changes contradict each other: {told(one)}, {told(other)}")


def told(edit: SetField | RemoveField) -> str:
    """`num_key_value_heads = 8`, `without quantization_config`."""
    if isinstance(edit, RemoveField):
        return f"without {edit.field}"
    return f"{edit.field} = {json.dumps(edit.value, ensure_ascii=False)}"
