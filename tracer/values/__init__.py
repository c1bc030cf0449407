"""The values of a checkpoint, every byte read once: statistics, what they show, and the file that keeps them.

`scanning.py` reads, `statistics.py` says what is kept of a tensor, `judging.py` which checks it is for. Only what
reads values imports this package: it needs numpy.
"""

from __future__ import annotations

from pathlib import Path

from tracer.checkpoint.folder import Checkpoint
from tracer.checks import Check
from tracer.errors import InputError
from tracer.values.judging import judge
from tracer.values.scanning import Told, scan
from tracer.values.statistics import Statistics
from tracer.values.stored import Report, read_report, write_report
from tracer.values.targets import check_target

__all__ = ["Report", "Statistics", "examine", "examine_values", "judge", "read_report", "scan", "write_report"]


def examine(checkpoint: Checkpoint, told: Told | None = None, dtype: str | None = None) -> list[Check]:
    """Read all that is here and check it; `dtype` is what it is to be served as, in safetensors or config spelling.

    Raises UsageError for a dtype that nothing is cast to. A file that cannot be read is a finding, and what it left
    unread is not checked.
    """
    return examine_values(checkpoint, told, dtype)[0]


def examine_values(
    checkpoint: Checkpoint, told: Told | None = None, dtype: str | None = None, save: Path | None = None
) -> tuple[list[Check], list[Statistics]]:
    """The same, and the statistics, which are also written to the report `save` if all of them could be had."""
    target = None if dtype is None else check_target(dtype)
    scanned: list[Statistics] = []
    if checkpoint.files.folder is None:
        return judge(checkpoint, scanned, target), scanned
    try:
        scanned.extend(scan(checkpoint, told, target))
    except InputError as error:
        found = error.finding()
        stopped = f"reading stopped: {error}"
        first = Check("values.read", findings=(found,) if found else (), unchecked=stopped)
        return [first, *judge(checkpoint, scanned, target, stopped)], scanned
    if save is not None:
        write_report(save, checkpoint, scanned, target)
    return judge(checkpoint, scanned, target), scanned
