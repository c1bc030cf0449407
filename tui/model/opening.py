"""Opens what was asked for, and says each time more of it is known. Runs beside the screen, in a thread of its own.

Names are to be seen before everything is imported that examines them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.collection import uncollected
from tracer.errors import InputError, UsageError
from tracer.outputs import is_store
from tracer.validate import LARGEST_TP
from tui.model.subject import Subject

Arrived = Callable[[Subject], None]
TRACE_ENDINGS = (".db", ".sqlite", ".jsonl")


@uncollected()
def open_subject(where: str | None, tp: int, arrived: Arrived) -> Subject:
    """Gives `arrived` what there is to be seen, once, twice or three times, and returns the last.

    Raises InputError and UsageError.
    """
    if where is not None and is_trace(where):
        from tui.model.recorded import open_recorded

        return open_recorded(where, arrived)
    if not 1 <= tp <= LARGEST_TP:
        raise UsageError(f"--tp {tp}: expected at least 1 and at most {LARGEST_TP}")
    checkpoint = _on_disk(where) if where is not None else None
    if where is not None and checkpoint is not None:
        _show(where, tp, checkpoint, arrived)
    from tui.model import examining

    if where is None:
        return examining.synthetic(tp, arrived)
    return examining.examined(where, tp, checkpoint, lambda found: _show(where, tp, found, arrived), arrived)


def is_trace(where: str) -> bool:
    """Whether a file is a trace and not a file of weights."""
    path = Path(where)
    return path.is_file() and (is_store(path) or path.suffix in TRACE_ENDINGS)


def _on_disk(where: str) -> Checkpoint | None:
    """What lies here and can be read as it is; why something cannot, those say who salvage it."""
    try:
        return open_checkpoint(Path(where)) if os.path.lexists(where) else None
    except InputError:
        return None


def _show(where: str, tp: int, checkpoint: Checkpoint, arrived: Arrived) -> None:
    if checkpoint.tensors:
        arrived(Subject(where, checkpoint.files.title, checkpoint.tensors, tp=tp, checkpoint=checkpoint))
