"""Two tables of one shape against each other, row by row: all of them where they are small, else some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.state import State
from tracer.errors import InputError

_WHOLE = 1 << 26
"""Bytes of a table that are read whole."""
_RUNS = 64
_RUN_BYTES = 1 << 17
"""Of a larger one so many runs of rows are read, evenly spread, the first and the last among them."""


@dataclass(frozen=True)
class Alike:
    """What came of it."""

    equal: bool
    rows: int
    """That were compared."""
    whole: bool
    """Whether these are all of them."""
    cosine: float = 1.0
    """Of the rows that differ; the median."""
    from_row: int = 0
    """Where all rows before one are equal and those from it on are not, that one; 0 otherwise."""


def alike(state: State, one: TensorInfo, other: TensorInfo) -> Alike | None:
    """None where the bytes of one are not here. Both are [rows, columns], of one type."""
    width = one.nbytes // one.shape[0] if one.shape[0] else 0
    if not width:
        return None
    ranges = _ranges(one.shape[0], width)
    differing: list[int] = []
    cosines: list[float] = []
    for start, stop in ranges:
        mine, theirs = _read(state, one, start, stop, width), _read(state, other, start, stop, width)
        if mine is None or theirs is None:
            return None
        if mine != theirs:
            found = [at for at in range(stop - start) if _row(mine, at, width) != _row(theirs, at, width)]
            differing += [start + at for at in found]
            cosines += _cosines(one.dtype, mine, theirs, width, found)
    rows = sum(stop - start for start, stop in ranges)
    whole = rows == one.shape[0]
    if not differing:
        return Alike(True, rows, whole)
    cosine = sorted(cosines)[len(cosines) // 2] if cosines else 0.0
    return Alike(False, rows, whole, cosine, _from(differing, ranges, one.shape[0]))


def _row(data: bytes, at: int, width: int) -> bytes:
    return data[at * width : (at + 1) * width]


def _from(differing: Sequence[int], ranges: Sequence[tuple[int, int]], rows: int) -> int:
    """The first row that differs, where all that were read from it on do, and it is in the latter half; else 0."""
    first = differing[0]
    after = sum(max(0, stop - max(start, first)) for start, stop in ranges)
    return first if first > rows // 2 and len(differing) == after else 0


def _ranges(rows: int, width: int) -> list[tuple[int, int]]:
    run = max(1, _RUN_BYTES // width)
    if rows * width <= _WHOLE or rows <= _RUNS * run:
        return [(start, min(start + run, rows)) for start in range(0, rows, run)]
    return [(start, start + run) for start in (number * (rows - run) // (_RUNS - 1) for number in range(_RUNS))]


def _read(state: State, tensor: TensorInfo, start: int, stop: int, width: int) -> bytes | None:
    files = state.checkpoint.files
    if tensor.file is None or tensor.offset is None or tensor.strides is not None or files.folder is None:
        return None
    try:
        with files.open(tensor.file) as opened:
            opened.seek(tensor.offset + start * width)
            found = opened.read((stop - start) * width)
    except (InputError, OSError):
        return None
    return found if len(found) == (stop - start) * width else None


def _cosines(dtype: str, mine: bytes, theirs: bytes, width: int, rows: list[int]) -> list[float]:
    """Of some rows that differ, in float32; none where the type is not a plain one."""
    import numpy as np

    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if dtype not in kinds:
        return []
    found = []
    for row in rows[:256]:
        pair = []
        for data in (mine, theirs):
            values = np.frombuffer(_row(data, row, width), kinds[dtype])
            if dtype == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            pair.append(values.astype(np.float64))
        lengths = float(np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
        found.append(float(pair[0] @ pair[1]) / lengths if lengths else 0.0)
    return found
