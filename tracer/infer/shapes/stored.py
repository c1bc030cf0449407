"""What of the stored tensors is a weight: masks and scales are set aside, packed weights counted as what they are.

Layouts: the FP8 checkpoints of DeepSeek-V3 (one F32 scale for each 128 x 128 block), MXFP4 as in gpt-oss (`blocks` of
16 bytes for 32 weights, one scale a block; OCP Microscaling Formats 1.0), GPTQ and AWQ (32-bit words packed along the
input or the output, zeros and scales for each group of inputs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]
_FLOATS = ("F32", "F16", "BF16", "F64", "F8_E8M0", "")
_FP8 = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
_WORDS = ("I32", "U32")
_BLOCKS = ((128, 128), (128, 1), (1, 128))
_WORD = 32
_MXFP4_BYTES = 16


@dataclass
class Stored:
    """The weights of a checkpoint by shape."""

    counts: Counter[Shape] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    """What was set aside, and why."""


def weights(shapes: Iterable[tuple[Shape, str]]) -> Stored:
    """Every weight as it would be unpacked: (out, in), a stack of experts in front."""
    # In an order of their own: whatever is taken first must not depend on how the file lists its tensors.
    left = Counter(dict(sorted(Counter((tuple(shape), dtype) for shape, dtype in shapes).items())))
    notes = [note for note in (_masks(left), _fp8_scales(left), _mxfp4(left), _words(left)) if note]
    counts: Counter[Shape] = Counter()
    for (shape, _), count in left.items():
        counts[shape] += count
    return Stored(Counter(dict(sorted(counts.items()))), notes)


def _masks(left: Counter[tuple[Shape, str]]) -> str:
    """Causal masks (1, 1, n, n), constants beside them, and tensors without an element."""
    found = [entry for entry in left if _is_mask(entry[0])]
    total = sum(left.pop(entry) for entry in found)
    return f"{total} masks and constants" if total else ""


def _is_mask(shape: Shape) -> bool:
    return not shape or 0 in shape or (len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3])


def _fp8_scales(left: Counter[tuple[Shape, str]]) -> str:
    total = 0
    for (shape, dtype), count in list(left.items()):
        if dtype in _FP8 and len(shape) >= 2:
            total += _take_scales(left, shape, count)
    return f"{total} scales of FP8 weights" if total else ""


def _take_scales(left: Counter[tuple[Shape, str]], shape: Shape, count: int) -> int:
    """Removes one scale for each weight of a shape, whichever way they are blocked."""
    out, inner = shape[-2:]
    blocked = [(*shape[:-2], -(-out // a), -(-inner // b)) for a, b in _BLOCKS]
    for scale in (*blocked, (*shape[:-2], out, 1), (*shape[:-2], out), (*shape[:-2], 1), (1,)):
        for dtype in _FLOATS:
            if left.get((scale, dtype), 0) >= count:
                _take(left, (scale, dtype), count)
                return count
    return 0


def _take(left: Counter[tuple[Shape, str]], entry: tuple[Shape, str], count: int) -> None:
    left[entry] -= count
    if not left[entry]:
        del left[entry]


def _mxfp4(left: Counter[tuple[Shape, str]]) -> str:
    total = 0
    for (shape, dtype), count in list(left.items()):
        scales = (shape[:-1], dtype)
        if dtype == "U8" and len(shape) >= 3 and shape[-1] == _MXFP4_BYTES and left.get(scales, 0) >= count:
            del left[shape, dtype]
            _take(left, scales, count)
            left[(*shape[:-2], shape[-2] * 2 * _MXFP4_BYTES), dtype] += count
            total += count
    return f"{total} weights in MXFP4" if total else ""


def _words(left: Counter[tuple[Shape, str]]) -> str:
    """GPTQ packs along the input, AWQ along the output: the reading under which every word has its place is right."""
    words: set[Shape] = {shape for shape, dtype in left if dtype in _WORDS and len(shape) == 2}
    scales: set[Shape] = {shape for shape, dtype in left if dtype in _FLOATS and len(shape) == 2}
    for along_input, bits, group in product((True, False), (4, 8, 2, 3), (128, 64, 32, 256, 0)):
        reading = Reading(along_input, bits, group)
        packed = {shape for shape in words if reading.has_place(shape, words, scales)}
        zeros = {reading.zeros(shape) for shape in packed}
        if packed and packed | zeros == words and not packed & zeros:
            return _unpack(left, reading, packed, zeros)
    return ""


class Reading(NamedTuple):
    """One way to read packed words."""

    along_input: bool
    bits: int
    group: int
    """Inputs that share a scale; 0 where all do."""

    def weight(self, shape: Shape) -> Shape:
        """(out, in)."""
        rows, columns = shape
        if self.along_input:
            return columns, rows * _WORD // self.bits
        return columns * _WORD // self.bits, rows

    def scales(self, shape: Shape) -> Shape:
        out, inner = self.weight(shape)
        return (-(-inner // self.group) if self.group else 1), out

    def zeros(self, shape: Shape) -> Shape:
        groups, out = self.scales(shape)
        return groups, out * self.bits // _WORD

    def has_place(self, shape: Shape, words: set[Shape], scales: set[Shape]) -> bool:
        zeros = self.zeros(shape)
        return self.scales(shape) in scales and zeros in words and zeros != shape


def _unpack(left: Counter[tuple[Shape, str]], reading: Reading, packed: set[Shape], zeros: set[Shape]) -> str:
    """Puts the weights in the place of their words, zeros, scales and indices of groups."""
    scales = {reading.scales(shape) for shape in packed}
    inputs = {reading.weight(shape)[1:] for shape in packed}
    total = 0
    for (shape, dtype), count in list(left.items()):
        if dtype in _WORDS and shape in packed | zeros | inputs:
            del left[shape, dtype]
            if shape in packed:
                left[reading.weight(shape), ""] += count
                total += count
        elif dtype in _FLOATS and shape in scales:
            del left[shape, dtype]
    return f"{total} weights packed in {reading.bits} bits"


def elements(counts: Counter[Shape]) -> int:
    """How many numbers the tensors hold."""
    return sum(prod(shape) * count for shape, count in counts.items())
