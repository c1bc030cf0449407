"""Error messages and logs of serving engines, read for what they say of a checkpoint."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tracer.complaints.complaint import Complaint, Kind, Program, Told
from tracer.complaints.listening import Listener
from tracer.complaints.streaming import LONGEST, tell
from tracer.complaints.tracebacks import BEGINS
from tracer.complaints.wordings import needles
from tracer.errors import InputError

__all__ = ["Complaint", "Kind", "Program", "Told", "read_error", "read_log"]

_PASTED_LIMIT = 1 << 24


def read_error(text: str) -> Told:
    """What somebody pasted: an error, part of a log, or words about an output. Complaints have no line.

    Only its first 16 million characters are read.
    """
    told = _of_pasted(text[:_PASTED_LIMIT])
    if len(text) <= _PASTED_LIMIT:
        return told
    beyond = f"{len(text) - _PASTED_LIMIT:,} characters after the first {_PASTED_LIMIT:,}"
    return replace(told, passed_over=(beyond, *told.passed_over))


def _of_pasted(text: str) -> Told:
    lines = text.split("\n")
    told = _told(lines, lines, people=False)
    if len(lines) > 1 and BEGINS not in text:
        joined = _told([" ".join(line.strip() for line in lines)], lines, people=False)
        told = joined if _facts(joined) > _facts(told) else told
    if any(complaint.kind != "other" for complaint in told.complaints):
        return told
    by_people = _told(lines, lines, people=True)
    return by_people if len(by_people.complaints) > len(told.complaints) else told


def _told(read: list[str], lines: list[str], *, people: bool) -> Told:
    """As programs say it; or as people do. A terminal or a mail may have broken a sentence into lines."""
    listener = Listener(pasted=True)
    for line in read:
        listener.hear(0, line[:LONGEST].rstrip("\r"))
        if people:
            listener.hear_a_person(line[:LONGEST])
    return listener.told(len(lines))


def _facts(told: Told) -> int:
    """How many names, shapes and numbers were understood."""
    return sum(
        len(found) for each in told.complaints
        for found in (each.names, each.shapes, each.numbers, each.files, each.fields)
    )  # fmt: skip


def read_log(path: Path, progress: Callable[[int], None] | None = None) -> Told:
    """What a log says, read once in a stream and never held whole.

    :param progress: called with the bytes read so far, about once a megabyte
    :raises InputError: if it is no file, or cannot be read
    """
    if os.fspath(path) == ".":  # what Path makes of an empty string
        raise InputError("the log's path is empty, or the folder `.`; expected a file")
    listener = Listener(pasted=False)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise InputError(f"{path} is a folder; expected a log file")
        with path.open("rb") as file:
            lines = tell(file, needles(), listener.hear, lambda: listener.attentive, progress)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"the log {path} cannot be read: {why}") from error
    return listener.told(lines)
