"""Space that was reserved for a file and never filled: holes of the file system, and long runs of zeros in the data.

Zeros alone prove nothing: padding rows, biases and masks are zeros too. What tells a download that was not finished is
that zeros begin in the middle of a row of a tensor, or take whole matrices, up to the end of the file. Of a file a few
pages are looked at, and that is said.
"""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mappings.findings import Finding, Severity
from tracer.checkpoint.consistency import some
from tracer.checkpoint.regular_file import open_regular
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import InputError

PAGE = 4096
MOST_PAGES = 2048
"""Of all files together; each costs a read where it is not in memory."""
_MOST_HOLES = 4096
_SECTOR = 512
"""Bytes that `st_blocks` counts in."""
_LARGE = 1 << 20
"""Bytes of zeros that nobody makes up for a test."""
_LEAST = 1 << 16
"""Bytes; shorter runs of zeros are everywhere."""
_SMALL = 4 << 20
"""Bytes of a file whose end costs nothing to read whole, where zeros may begin anywhere."""
_INSIDE = 8
"""More pages of what looks like a hole are looked at."""
_NO_STUB = 16 << 20
"""Bytes; nobody keeps so many zeros for a plan or a test."""


class Run(NamedTuple):
    """Zeros from one byte of a file to another."""

    start: int
    stop: int


@dataclass
class Looked:
    """What was looked at in one file, and what there was."""

    file: str
    pages: int = 0
    filled: int = 0
    """Pages with anything but zeros."""
    holes: int = 0
    """Bytes of its data that the file system never got."""
    allocated: int = 0
    """Bytes that the file takes on the disk: few for a stub, all for space that was reserved."""
    tail: Run | None = None
    """Zeros up to the end of the file."""
    runs: list[Run] = field(default_factory=list)
    """Long zeros in the middle, as far as samples can tell."""
    tensors: Sequence[TensorInfo] = field(default_factory=list)

    @property
    def blank(self) -> bool:
        """Whether nothing but zeros was seen."""
        return self.pages > 0 and not self.filled


def look(folder: Path, tensors_of: dict[str, list[TensorInfo]]) -> Iterator[Looked]:
    """Sample each file. The tensors are in the order of their bytes."""
    each = max(2, min(16, MOST_PAGES // max(1, len(tensors_of))))
    for file, tensors in tensors_of.items():
        placed = [tensor for tensor in tensors if tensor.offset is not None and tensor.nbytes]
        if not placed:
            continue
        try:
            yield _look(folder / file, file, placed, each)
        except (OSError, InputError):
            yield Looked(file)


def _look(path: Path, file: str, tensors: Sequence[TensorInfo], pages: int) -> Looked:
    begin, end = tensors[0].offset or 0, max((tensor.offset or 0) + tensor.nbytes for tensor in tensors)
    found = Looked(file, tensors=tensors)
    with open_regular(path) as opened:
        descriptor = opened.fileno()
        found.allocated = os.fstat(descriptor).st_blocks * _SECTOR
        found.holes = sum(run.stop - run.start for run in _holes(descriptor, begin, end))
        step = max(PAGE, (end - begin) // pages)
        places = [*range(begin, max(begin + 1, end - PAGE), step)][:pages]
        empty = [_is_zero(descriptor, at, min(PAGE, end - at)) for at in places]
        found.pages, found.filled = len(places), empty.count(False)
        last = max(begin, end - PAGE)
        found.pages += 1
        if not _is_zero(descriptor, last, end - last):
            found.filled += 1
        elif found.filled:
            is_small = end - begin < _SMALL
            found.tail = Run((_first_byte if is_small else _first_zero)(descriptor, begin, end), end)
        stop = found.tail.start if found.tail else end
        found.runs = [run for run in _between(descriptor, places, empty, stop) if run.stop - run.start >= _LARGE]
    return found


def _between(descriptor: int, places: Sequence[int], empty: Sequence[bool], end: int) -> Iterator[Run]:
    """Zeros around samples that were, with values before and behind: bounds by halves, and more samples between."""
    at = 0
    while at < len(places):
        if not empty[at]:
            at += 1
            continue
        last = at
        while last + 1 < len(places) and empty[last + 1]:
            last += 1
        if at and last + 1 < len(places) and places[last + 1] <= end:
            start = _border(descriptor, places[at - 1], places[at], zero_behind=True)
            run = Run(start, _border(descriptor, places[last], places[last + 1], zero_behind=False))
            inside = range(start, max(start + 1, run.stop - PAGE), max(PAGE, (run.stop - start) // _INSIDE))
            if all(_is_zero(descriptor, place, min(PAGE, run.stop - place)) for place in inside):
                yield run
        at = last + 1


def _border(descriptor: int, low: int, high: int, zero_behind: bool) -> int:
    """The byte where zeros begin or end, between a page that is zero and one that is not."""
    while high - low > PAGE:
        middle = (low + high) // 2
        if _is_zero(descriptor, middle, PAGE) == zero_behind:
            high = middle
        else:
            low = middle
    rest = os.pread(descriptor, high + PAGE - low, low)
    if zero_behind:
        return low + len(rest[: high - low].rstrip(b"\0"))
    return low + len(rest) - len(rest.lstrip(b"\0"))


def _first_byte(descriptor: int, begin: int, end: int) -> int:
    """Where the zeros at the end begin, of a file that costs nothing to read."""
    return begin + len(os.pread(descriptor, end - begin, begin).rstrip(b"\0"))


def _is_zero(descriptor: int, at: int, count: int) -> bool:
    return not any(os.pread(descriptor, count, at).strip(b"\0"))


def _first_zero(descriptor: int, begin: int, end: int) -> int:
    """Where the zeros at the end begin: back in doubling steps, then by halves, as far as samples can tell."""
    reach = PAGE
    while end - reach > begin and _is_zero(descriptor, end - reach, PAGE):
        reach *= 2
    low, high = max(begin, end - reach), end - reach // 2
    if low == begin and _is_zero(descriptor, begin, min(PAGE, end - begin)):
        return begin
    while high - low > PAGE:
        middle = (low + high) // 2
        if _is_zero(descriptor, middle, PAGE):
            high = middle
        else:
            low = middle
    rest = os.pread(descriptor, high + PAGE - low, low)[: end - low]
    return low + len(rest.rstrip(b"\0"))


def _holes(descriptor: int, begin: int, end: int) -> Iterator[Run]:
    """What was never written; nothing where the file system cannot tell."""
    if not hasattr(os, "SEEK_HOLE"):
        return
    at = begin
    for _ in range(_MOST_HOLES):
        try:
            hole = os.lseek(descriptor, at, os.SEEK_HOLE)
            if hole >= end:
                return
            at = os.lseek(descriptor, hole, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                yield Run(hole, end)
            return
        yield Run(hole, min(at, end))
        if at >= end:
            return


def judged(looked: Sequence[Looked]) -> Iterator[Finding]:
    """Files whose end was never written; and files without any value, which are an error only beside others."""
    blank = [each for each in looked if each.blank]
    for each in looked:
        if each.tail is not None and not each.blank and (told := _unfilled(each, each.tail)):
            yield told
        yield from (told for run in each.runs if (told := _hollow(each, run)))
    alone = len(blank) == len(looked)
    for each in blank:
        matrices = sum(tensor.nbytes for tensor in each.tensors if len(tensor.shape) > 1)
        if _is_reserved(each) or (not alone and matrices >= _LEAST):
            yield _reserved(each, alone)
    if stubs := [each for each in blank if alone and not _is_reserved(each)]:
        yield _stub(stubs)


def nothing_written(looked: Sequence[Looked]) -> str:
    """What a verdict begins with where all files are large stubs: published headers look so, and so do lost writes."""
    holes = sum(each.holes for each in looked)
    if holes < _NO_STUB or not all(each.blank and not _is_reserved(each) for each in looked):
        return ""
    return f"no weights are here ({holes:,} bytes of the files were never written): all that was seen of them is zero"


def _is_reserved(looked: Looked) -> bool:
    size = sum(tensor.nbytes for tensor in looked.tensors)
    return size >= _LARGE and 2 * looked.allocated >= size


def _unfilled(looked: Looked, tail: Run) -> Finding | None:
    lost, cut = _hit(looked, tail)
    size = tail.stop - tail.start
    if size < _LEAST:
        small = sum(tensor.nbytes for tensor in looked.tensors) < _SMALL
        if not (small and size >= PAGE and (cut or len(lost) > 1)):
            return None
    elif not lost and not (cut and size >= _LARGE):
        return None
    where = f"from byte {tail.start} to its end at {tail.stop} there are only zeros"
    sure = cut or (len(lost) > 1 and size >= _NO_STUB)
    return _of_run(looked, tail, where, lost, "error" if sure else "warning")


def _hollow(looked: Looked, run: Run) -> Finding | None:
    """Rows of zeros belong to a model, and so may a matrix; what ends inside of a row does not."""
    lost, cut = _hit(looked, run)
    if not cut:
        return None
    where = f"as far as was looked, from byte {run.start} to {run.stop} there are only zeros"
    return _of_run(looked, run, where, lost, "error")


def _of_run(looked: Looked, run: Run, where: str, lost: list[str], severity: Severity) -> Finding:
    inside = f"zeros begin inside {_at(looked, run.start).name}"
    what = f"{len(lost)} matrices are nothing but zeros: {some(lost)}" if lost else inside
    return Finding(
        "file.truncated", severity, looked.file,
        f"{looked.file}: {where}; {what}: space that was reserved for a download and not filled",
        {"start": run.start, "stop": run.stop, "tensors": lost}, "download the file again",
    )  # fmt: skip


def _at(looked: Looked, byte: int) -> TensorInfo:
    return looked.tensors[max(0, bisect_right([tensor.offset or 0 for tensor in looked.tensors], byte) - 1)]


def _hit(looked: Looked, run: Run) -> tuple[list[str], bool]:
    """Matrices that are zeros as a whole, and whether the run begins or ends inside of a row."""
    lost = [
        t.name for t in looked.tensors
        if (t.offset or 0) >= run.start and (t.offset or 0) + t.nbytes <= run.stop and len(t.shape) > 1
    ]  # fmt: skip
    first, last = _at(looked, run.start), _at(looked, run.stop - 1)
    inside, row = run.start - (first.offset or 0), _row(first)
    # The last numbers of a row may be zeros themselves, so that a little at its end proves no cut.
    begins = 0 < inside < first.nbytes and row - inside % row > row // 8 and inside % row != 0
    inside, row = run.stop - (last.offset or 0), _row(last)
    ends = 0 < inside < last.nbytes and inside % row > row // 8
    return lost, begins or ends


def _row(tensor: TensorInfo) -> int:
    """Bytes of one step along the first axis."""
    return max(1, tensor.nbytes // (tensor.shape[0] if len(tensor.shape) > 1 and tensor.shape[0] else 1))


def _reserved(looked: Looked, alone: bool) -> Finding:
    why = f", which takes {looked.allocated:,} bytes of the disk" if alone else ", while other files have values"
    return Finding(
        "value.all-zero", "error", looked.file,
        f"{looked.file}: all {looked.pages} pages of its data that were looked at are zeros{why}: space that was"
        " reserved for a download and not filled", {"pages": looked.pages},
        "download the file again",
    )  # fmt: skip


def _stub(blank: Sequence[Looked]) -> Finding:
    """Made so, as tests and plans do, or reserved: headers cannot tell."""
    holes = sum(each.holes for each in blank)
    how = f" ({holes:,} bytes of it were never written)" if holes else ""
    files = [each.file for each in blank]
    of = "its" if len(files) == 1 else "their"
    return Finding(
        "value.all-zero", "info", files[0],
        f"{some(files)}: as far as was looked, {of} data is nothing but zeros{how}: headers without a model",
        {"files": files, "holes": holes},
    )  # fmt: skip
