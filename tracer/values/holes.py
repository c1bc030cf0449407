"""Stretches of a file that were never written: zeros that end at no row of a matrix, or take one after another.

A download that reserves its space first leaves them: at the end when it was broken off, anywhere when one of several
connections failed. Rows of zeros are something else: padding, tokens that never occurred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from mappings.findings import Finding
from tracer.report.words import plural
from tracer.values.decoding import unit
from tracer.values.roles import is_scale, is_weight, spelled
from tracer.values.statistics import Statistics
from tracer.values.zero_bytes import PAGE

_PADDING = 64
"""Bytes that may lie between two tensors; and zeros beside a run that may be there by chance."""


@dataclass(frozen=True)
class Hole:
    """A run of zero bytes in one file that no model explains."""

    file: str
    start: int
    stop: int
    whole: list[Statistics]
    """Tensors of nothing else."""
    partly: list[Statistics]
    to_the_end: bool

    def finding(self) -> Finding:
        """An error of the file: what follows for its tensors is told with it."""
        lost = [f"all of {spelled(self.whole)} ({plural(len(self.whole), 'tensor')})"] if self.whole else []
        lost += [f"a part of {spelled(self.partly)}"] if self.partly else []
        until = "its end" if self.to_the_end else f"byte {self.stop:,}"
        message = (
            f"{self.file}: from byte {self.start:,} to {until} there are {self.stop - self.start:,} zero bytes, space"
            f" that was reserved for a download and never filled: {', and '.join(lost)}"
        )
        evidence = {
            "start": self.start, "stop": self.stop, "whole": [each.name for each in self.whole],
            "partly": [each.name for each in self.partly],
        }  # fmt: skip
        return Finding("file.truncated", "error", self.file, message, evidence, "download the file again")


def holes(scanned: Sequence[Statistics]) -> Iterator[Hole]:
    """Of each file, in its order."""
    files: dict[str, list[Statistics]] = {}
    for each in scanned:
        if each.nbytes and each.digest:
            files.setdefault(each.file, []).append(each)
    for file, held in files.items():
        held.sort(key=lambda each: (each.offset, each.nbytes))
        last = max(each.offset + each.nbytes for each in held)
        for start, stop in _runs(held):
            hole = _hole(file, start, stop, held, last)
            if _is_unexplained(hole):
                yield hole


def _runs(held: Sequence[Statistics]) -> Iterator[tuple[int, int]]:
    """Runs of zero bytes over the borders of tensors, in order."""
    open_run: tuple[int, int] | None = None
    for start, stop in sorted(run for each in held for run in _of_tensor(each)):
        if open_run and start <= open_run[1] + _PADDING:
            open_run = (open_run[0], max(open_run[1], stop))
            continue
        if open_run:
            yield open_run
        open_run = (start, stop)
    if open_run:
        yield open_run


def _of_tensor(found: Statistics) -> Iterator[tuple[int, int]]:
    zeroes, begin, end = found.zeroes, found.offset, found.offset + found.nbytes
    if zeroes.leading:
        yield begin, begin + zeroes.leading
    if zeroes.trailing:
        yield end - zeroes.trailing, end
    if zeroes.longest:
        yield begin + zeroes.start, begin + zeroes.start + zeroes.longest


def _hole(file: str, start: int, stop: int, held: Sequence[Statistics], last: int) -> Hole:
    touched = [each for each in held if each.offset < stop and each.offset + each.nbytes > start]
    whole = [each for each in touched if each.zeroes.everything]
    partly = [each for each in touched if not each.zeroes.everything]
    return Hole(file, start, stop, whole, partly, stop >= last)


def _is_unexplained(hole: Hole) -> bool:
    """Whole matrices with a cut beside them, or two and more up to the end; or a cut through a matrix alone."""
    matrices = [each for each in hole.whole if is_weight(each) or is_scale(each)]
    cut = any(_is_cut(each, hole) for each in hole.partly)
    if matrices:
        return cut or (len(matrices) > 1 and hole.to_the_end)
    return cut and hole.stop - hole.start >= PAGE


def _is_cut(found: Statistics, hole: Hole) -> bool:
    """Whether the run begins or ends in the middle of a row, having covered more than one of them, in a matrix."""
    row = found.nbytes // max(1, prod(found.shape[:-1]))
    inside = min(hole.stop, found.offset + found.nbytes) - max(hole.start, found.offset)
    if not is_weight(found) or row <= 2 * _PADDING or inside <= min(row, found.nbytes // 2):
        return False
    # A run may begin in the row before, and end in the row behind, with numbers that are zero by chance.
    begins = -(hole.start - found.offset) % row if hole.start > found.offset else 0
    ends = (hole.stop - found.offset) % row if hole.stop < found.offset + found.nbytes else 0
    return any(rest > _PADDING and not _is_margin(found, rest) for rest in (begins, ends))


def _is_margin(found: Statistics, nbytes: int) -> bool:
    """Whether every row may have so many bytes of zeros: columns that a matrix was padded with."""
    elements, width = unit(found.dtype)
    return found.part.zeros * width // elements >= prod(found.shape[:-1]) * (nbytes - _PADDING)
