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

from mappings.findings import Finding
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
        for at in [*range(begin, max(begin + 1, end - PAGE), step)][:pages]:
            found.pages += 1
            found.filled += not _is_zero(descriptor, at, min(PAGE, end - at))
        last = max(begin, end - PAGE)
        found.pages += 1
        if not _is_zero(descriptor, last, end - last):
            found.filled += 1
        elif found.filled:
            found.tail = Run(_first_zero(descriptor, begin, end), end)
    return found


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
    alone = len(blank) == len(looked)
    for each in blank:
        matrices = sum(tensor.nbytes for tensor in each.tensors if len(tensor.shape) > 1)
        if _is_reserved(each) or (not alone and matrices >= _LEAST):
            yield _reserved(each, alone)
    if stubs := [each for each in blank if alone and not _is_reserved(each)]:
        yield _stub(stubs)


def _is_reserved(looked: Looked) -> bool:
    size = sum(tensor.nbytes for tensor in looked.tensors)
    return size >= _LARGE and 2 * looked.allocated >= size


def _unfilled(looked: Looked, tail: Run) -> Finding | None:
    if tail.stop - tail.start < _LEAST:
        return None
    offsets = [tensor.offset or 0 for tensor in looked.tensors]
    first = looked.tensors[bisect_right(offsets, tail.start) - 1]
    inside = tail.start - (first.offset or 0)
    lost = [t.name for t in looked.tensors if (t.offset or 0) >= tail.start and len(t.shape) > 1]
    row = _row(first)
    # The last numbers of a row may be zeros themselves, so that a little at its end proves no cut.
    cut = 0 < inside < first.nbytes and row - inside % row > row // 8 and inside % row != 0
    if not lost and not (cut and tail.stop - tail.start >= _LARGE):
        return None
    what = f"{len(lost)} matrices are nothing but zeros: {some(lost)}" if lost else f"zeros begin inside {first.name}"
    return Finding(
        "file.truncated", "error" if cut else "warning", looked.file,
        f"{looked.file}: from byte {tail.start} to its end at {tail.stop} there are only zeros; {what}: space that was"
        " reserved for a download and not filled", {"start": tail.start, "stop": tail.stop, "tensors": lost},
        "download the file again",
    )  # fmt: skip


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
