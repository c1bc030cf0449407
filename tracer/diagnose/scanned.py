"""Numbers that are none, tensors of zeros or of one value: every byte of a small checkpoint, a sample of a large one.

Of a large one each tensor gives a few runs, small tensors all of theirs; what was zero or constant wherever it was
looked at is then read whole. `tracer.values` reads and judges, as `tracer doctor --values` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check
from tracer.diagnose.stubs import hardly_filled
from tracer.errors import InputError
from tracer.report.words import count, plural, size
from tracer.values import examine_values
from tracer.values.blank import constants, zeros
from tracer.values.decoding import unit
from tracer.values.nonfinite import nonfinite
from tracer.values.pieces import unreadable
from tracer.values.scanning import scan
from tracer.values.statistics import Statistics

WHOLE = 256 << 20
"""Bytes of tensors up to which all of them are read."""
_BLOCKS = 8
"""How much longer ggml's blocks take, which are unpacked first, than plain numbers of as many bytes."""
_SAMPLE = 64 << 20
_SUSPECTS = 64 << 20
"""Bytes of tensors that are read whole, since nothing was seen in them."""
_MOST = 4_096
"""Tensors of which there is a sample: each costs a place on the disk."""
_RUNS = 4
_OTHERS = ("values.tied", "values.overflow")
"""What `tracer.meaning` asks too, with more to go by."""
_RENAMED = {"values.duplicate": "values.same-bytes"}
"""There is a test of meaning of that name."""
_OF_ZEROS = ("values.zeros", "values.same-bytes")
"""Checks that headers without a model make nonsense of."""


def examine_numbers(checkpoint: Checkpoint, stubs: bool = False) -> list[Check]:
    """The checks of what the numbers are, each with its findings, and a limit where not all of them were read.

    With `stubs` zeros are no fault of what was never filled for the most part; then that is said.
    """
    if is_small(checkpoint):
        checks, read = examine_values(checkpoint)
        zero = sum(each.nbytes for each in read if each.all_zero)
        absent = hardly_filled(checkpoint, zero) if stubs else ""
        return [_named(check, absent) for check in checks if check.name not in _OTHERS]
    try:
        return _sampled(checkpoint)
    except InputError as error:
        found = error.finding()
        return [Check("values.read", findings=(found,) if found else (), unchecked=f"reading stopped: {error}")]


def _named(check: Check, absent: str) -> Check:
    check = replace(check, name=_RENAMED.get(check.name, check.name))
    if absent and check.name in _OF_ZEROS:
        return replace(check, findings=(), unchecked=absent, absent=absent)
    return check


def is_small(checkpoint: Checkpoint) -> bool:
    """Whether every byte is read."""
    return sum(map(_cost, checkpoint.tensors)) <= WHOLE


def _cost(tensor: TensorInfo) -> int:
    return tensor.nbytes * (_BLOCKS if unit(tensor.dtype)[0] > 2 else 1)


def _sampled(checkpoint: Checkpoint) -> list[Check]:
    readable = [tensor for tensor in checkpoint.tensors if not unreadable(tensor) and tensor.nbytes]
    chosen = readable[:: -(-len(readable) // _MOST)] if readable else []
    looked = _Sample(checkpoint, chosen)
    numbers, nbytes = sum(each.count for each in looked.runs), sum(each.nbytes for each in looked.runs)
    total = sum(tensor.nbytes for tensor in checkpoint.tensors)
    of = f"{size(nbytes)} of {size(total)}, in {plural(len(chosen), 'tensor')} of {len(checkpoint.tensors):,}"
    limit = f"of the values {size(nbytes)} of {size(total)} were read"
    unread = f"a sample, {of}; `tracer doctor --values` reads every byte"
    return [
        Check("values.nonfinite", f"{count(numbers)} numbers", tuple(nonfinite(looked.runs)), unread, limit),
        Check("values.zeros", of, tuple(zeros(looked.each, set())), looked.passed_over or unread),
        Check("values.constant", of, tuple(constants(looked.each)), looked.passed_over or unread),
    ]


class _Sample:
    """Runs of each tensor; and of each one statement of what it is as a whole."""

    def __init__(self, checkpoint: Checkpoint, tensors: Sequence[TensorInfo]) -> None:
        share = _SAMPLE // max(1, len(tensors))
        pieces = {tensor.name: list(_pieces(tensor, share)) for tensor in tensors}
        begins = {tensor.name: tensor.offset or 0 for tensor in tensors}
        held: dict[str, list[Statistics]] = {}
        for found in scan(replace(checkpoint, tensors=[piece for own in pieces.values() for piece in own])):
            held.setdefault(found.name, []).append(_placed(found, begins[found.name]))
        self.runs = [found for own in held.values() for found in own]
        blank = [tensor for tensor in tensors if tensor.nbytes > share and _is_blank(held[tensor.name])]
        whole, self.passed_over = _affordable(blank)
        read = {found.name: found for found in scan(replace(checkpoint, tensors=whole))} if whole else {}
        left = {tensor.name for tensor in blank} - read.keys()
        self.each = [read.get(name) or _telling(own) for name, own in held.items() if name not in left]


def _pieces(tensor: TensorInfo, share: int) -> Iterator[TensorInfo]:
    """All of a small tensor, or runs from its beginning to its end: the first bytes of a download may be well."""
    elements, width = unit(tensor.dtype)
    run = max(width, share // _RUNS // width * width)
    if tensor.nbytes <= max(share, _RUNS * run):
        yield tensor
        return
    assert tensor.offset is not None
    for number in range(_RUNS):
        begin = (tensor.nbytes - run) * number // (_RUNS - 1) // width * width
        shape = (run // width * elements,)
        yield replace(tensor, offset=tensor.offset + begin, nbytes=run, shape=shape, strides=None)


def _placed(found: Statistics, begin: int) -> Statistics:
    """Elements are counted from the beginning of the tensor."""
    if found.first_nonfinite is None:
        return found
    elements, width = unit(found.dtype)
    return replace(found, first_nonfinite=found.first_nonfinite + (found.offset - begin) // width * elements)


def _is_blank(runs: Sequence[Statistics]) -> bool:
    """Whether it may be zero, or one value, as a whole."""
    values = {each.part.minimum for each in runs} | {each.part.maximum for each in runs}
    return all(each.all_zero for each in runs) or (len(values) == 1 and all(each.constant for each in runs))


def _telling(runs: Sequence[Statistics]) -> Statistics:
    """One that shows that the tensor is not blank, where it is not."""
    return next((each for each in runs if not each.all_zero and not each.constant), runs[0])


def _affordable(tensors: Sequence[TensorInfo]) -> tuple[list[TensorInfo], str]:
    """Those that are read whole, the smallest first; and what is said of the rest."""
    found: list[TensorInfo] = []
    left = _SUSPECTS
    for tensor in sorted(tensors, key=_cost):
        left -= _cost(tensor)
        if left < 0:
            break
        found.append(tensor)
    rest = len(tensors) - len(found)
    told = f"{plural(rest, 'tensor')} showed nothing but one value, and could not be read whole"
    return found, told if rest else ""
