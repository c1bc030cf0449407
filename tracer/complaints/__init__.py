"""Error messages and logs of serving engines, read for what they say of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
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
    """What somebody pasted: an error, part of a log, or words about an output. Lines are counted, complaints have none.

    Only its first 16 million characters are read.
    """
    lines = text[:_PASTED_LIMIT].split("\n")
    listener = Listener(pasted=True)
    for line in lines:
        listener.hear(0, line[:LONGEST].rstrip("\r"))
    told = listener.told(len(lines))
    if len(lines) == 1 or BEGINS in text:
        return told
    joined = _joined(lines)
    return joined if _facts(joined) > _facts(told) else told


def _joined(lines: list[str]) -> Told:
    """The same, read as one sentence that a terminal or a mail has broken into lines."""
    listener = Listener(pasted=True)
    listener.hear(0, " ".join(line.strip() for line in lines)[:LONGEST])
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
    if not str(path) or str(path) == ".":
        raise InputError("the log has an empty path")
    if path.is_dir():
        raise InputError(f"the log {path} is a folder, and not a file")
    listener = Listener(pasted=False)
    try:
        with path.open("rb") as file:
            lines = tell(file, needles(), listener.hear, lambda: listener.attentive, progress)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"the log {path} cannot be read: {why}") from error
    return listener.told(lines)
