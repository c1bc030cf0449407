"""What statistics say of a checkpoint: each question a check of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mappings.findings import Finding
from tracer.checkpoint.folder import Checkpoint
from tracer.checks import Check
from tracer.report.words import count, plural, size
from tracer.values.blank import constants, everything_zero, zeros
from tracer.values.casting import overflow
from tracer.values.holes import holes
from tracer.values.nonfinite import nonfinite
from tracer.values.padding import padding
from tracer.values.statistics import Statistics
from tracer.values.tied import tied
from tracer.values.twins import duplicates


def judge(
    checkpoint: Checkpoint, scanned: Sequence[Statistics], target: str | None = None, stopped: str = ""
) -> list[Check]:
    """The checks of the values. `stopped` says why not all of what is here was read, if it was not."""
    if not scanned:
        return [Check("values", unchecked=stopped or _absent(checkpoint) or "there is no tensor")]
    config = checkpoint.config or {}
    blank, explained = _blank(scanned)
    unread, unnumbered = _joined(stopped, _absent(checkpoint), _without_bytes(scanned)), _without_numbers(scanned)
    looked = f"{count(sum(each.count for each in scanned))} numbers"
    read = f"{plural(len(scanned), 'tensor')}, {size(sum(each.nbytes for each in scanned if each.digest))}"
    numbers = _joined(unread, unnumbered)
    checks = [
        Check("values.nonfinite", looked, tuple(nonfinite(scanned)), numbers),
        Check("values.zeros", read,
              (*blank, *zeros(scanned, explained), *padding(scanned, config)), unread),
        Check("values.constant", looked, tuple(constants(scanned)), numbers),
        Check("values.duplicate", read, tuple(duplicates(scanned, config)), unread),
        *tied(scanned, config),
    ]  # fmt: skip
    if target is None:
        return [*checks, Check("values.overflow", unchecked="no dtype was given that they are to be cast to")]
    told = f"{looked} as {target}"
    return [*checks, Check("values.overflow", told, tuple(overflow(scanned, target)), numbers)]


def _blank(scanned: Sequence[Statistics]) -> tuple[list[Finding], set[str]]:
    """What explains zeros in more than one tensor, and the names of those."""
    if (found := everything_zero(scanned)) is not None:
        return [found], {each.name for each in scanned}
    found_holes = list(holes(scanned))
    return [hole.finding() for hole in found_holes], {each.name for hole in found_holes for each in hole.whole}


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _absent(checkpoint: Checkpoint) -> str:
    """What is not here to be read."""
    if checkpoint.files.folder is None:
        return "the bytes are on the Hub, and are not fetched"
    absent = len(checkpoint.names) - len(checkpoint.tensors)
    files = len(checkpoint.pointer_sizes)
    told = [f"{plural(absent, 'tensor')} in files that are not here"] if absent > 0 else []
    told += [f"{plural(files, 'file')} of which only a Git-LFS pointer is here"] if files else []
    return _joined(*told)


def _without_bytes(scanned: Sequence[Statistics]) -> str:
    return _counted(each.unread for each in scanned if not each.digest)


def _without_numbers(scanned: Sequence[Statistics]) -> str:
    return _counted(each.unread for each in scanned if each.digest and each.unread)


def _counted(reasons: Iterable[str]) -> str:
    """`dtype Q8_K: 3 tensors`."""
    return "; ".join(f"{reason}: {plural(number, 'tensor')}" for reason, number in Counter(reasons).items())
