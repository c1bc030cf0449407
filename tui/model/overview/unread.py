"""Files of the model that no number of the page counts, since they are damaged or not here."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.checkpoint.formats import of_file
from tracer.doctor.undamaged import Undamaged
from tracer.report.words import plural
from tui.model.subject import Subject


def unread(subject: Subject) -> str:
    """`1 file that cannot be read`; empty where all were read, or stand for others and are counted as these."""
    damaged, absent = _damaged(subject), _absent(subject)
    told = [f"{plural(len(damaged), 'file')} that cannot be read"] if damaged else []
    told += [f"{plural(len(absent), 'file')} that {'is' if len(absent) == 1 else 'are'} not here"] if absent else []
    return " and ".join(told)


def _damaged(subject: Subject) -> Sequence[str]:
    files = subject.checkpoint.files if subject.checkpoint is not None else None
    return [name for name in files.damaged if of_file(name)] if isinstance(files, Undamaged) else ()


def _absent(subject: Subject) -> Sequence[str]:
    """Of files with numbers in their names those that are missing, and those that only the index knows of."""
    checkpoint = subject.checkpoint
    if checkpoint is None or checkpoint.state != "complete":
        return ()
    gaps = [finding.evidence["missing"] for finding in checkpoint.findings if finding.code == "shards.gap"]
    named = checkpoint.index.files() if checkpoint.index is not None else ()
    beside = [name for name in named if not checkpoint.files.has(name)]
    return [*(name for each in gaps for name in each), *beside, *checkpoint.pointer_sizes]
