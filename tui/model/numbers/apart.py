"""How far the numbers of a tensor are from those of its twin, position by position. Only read where both were seen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diff.compared import Distance
from tracer.diff.values.distance import Sums, spans
from tracer.diff.values.rows import Reader, Stored, Unreadable
from tui.model.numbers.look import Stopped

Side = tuple[Checkpoint, TensorInfo]


def apart(one: Side, other: Side, stopped: Callable[[], bool]) -> Distance | str:
    """The distance, or why there is none. Raises InputError, and Stopped between two tiles."""
    if one[1].shape != other[1].shape:
        return "their shapes differ"
    with closing(_reader(one[0])) as reader, closing(_reader(other[0])) as beside:
        try:
            a, b = Stored(reader, one[1]), Stored(beside, other[1])
        except Unreadable as error:
            return str(error)
        sums = Sums()
        for start, stop in spans(a.shape):
            if stopped():
                raise Stopped
            sums.add(a.read(start, stop), b.read(start, stop))
    return sums.distance()


def _reader(checkpoint: Checkpoint) -> Reader:
    return Reader(checkpoint.files, checkpoint.stamps)
