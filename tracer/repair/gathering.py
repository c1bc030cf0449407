"""The bytes of planned tensors, a bounded piece at a time, in the order in which they are to be written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.stamp import Stamp
from tracer.checkpoint.weights import MappedFile
from tracer.repair.content import Content, Values
from tracer.repair.planned import Planned
from tracer.repair.view import Step, View
from tracer.unchanged import mapping_of
from tracer.values.decoding import NATIVE, decode

PIECE = 32 << 20
"""Bytes of one piece. As many again are read for it at once, and a sum takes three times as many in float32."""
_MOST_OPEN = 16
"""Files; a join may need any of them again, and a process may have a thousand."""

Array = NDArray[Any]


class Sources:
    """The files of a checkpoint, opened when they are needed, each still the one whose header was read."""

    def __init__(self, folder: Path, stamps: Mapping[str, Stamp]) -> None:
        self._folder = folder
        self._stamps = {str(folder / file): stamp for file, stamp in stamps.items()}
        self._open: OrderedDict[str, MappedFile] = OrderedDict()

    def read(self, file: str, offset: int, into: memoryview) -> None:
        """Raises InputError for a file that cannot be read, or has become another."""
        if file not in self._open:
            if len(self._open) == _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[file] = mapping_of(self._stamps)(self._folder / file)
        self._open.move_to_end(file)
        self._open[file].read_into(offset, into)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)


def pieces(planned: Planned, sources: Sources, limit: int = PIECE) -> Iterator[memoryview]:
    """A tensor's bytes as safetensors has them: row-major, little-endian.

    Each piece is gone when the next is asked for. Raises InputError for a file that cannot be read.
    """
    for array in _of(planned.content, sources, limit):
        yield np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _of(content: Content, sources: Sources, limit: int) -> Iterator[Array]:
    """Parts one after the other where that is their order, else as many rows of each at a time as a piece takes."""
    if isinstance(content, Values):
        yield from _of_one(content, sources, limit)
    elif content.axis == 0:
        for part in content.parts:
            yield from _of(part, sources, limit)
    elif content.nbytes:
        rows, total = content.shape[0], content.nbytes
        count = max(1, limit * rows // total)
        for at in range(0, rows, count):
            some = content.cut(0, at, min(at + count, rows))
            if total <= limit * rows:
                yield _together(some, sources, limit)
            else:
                yield from _of(some.without(0), sources, limit)


def _together(content: Content, sources: Sources, limit: int) -> Array:
    """The elements of what fits a piece, in its shape."""
    if isinstance(content, Values):
        return _gathered(content, sources, limit).reshape(content.shape)
    return np.concatenate([_together(part, sources, limit) for part in content.parts], content.axis)


def _of_one(values: Values, sources: Sources, limit: int) -> Iterator[Array]:
    view = values.view
    if not view.nbytes:
        return
    if values.as_stored:
        yield from _as_stored(view, sources, limit)
        return
    outer = view.steps[0] if view.steps else Step(1, 0)
    rows = max(1, limit // (view.nbytes // outer.size))
    for at in range(0, outer.size, rows):
        some = _flat(view, at, min(at + rows, outer.size))
        if some.nbytes <= limit:
            yield _gathered(replace(values, view=some), sources, limit)
        else:
            yield from _of_one(replace(values, view=some), sources, limit)


def _flat(view: View, start: int, stop: int) -> View:
    """[start, stop) of the outermost sub-axis, each sub-axis an axis of its own, since only the order counts."""
    steps = view.steps or [Step(1, 0)]
    return replace(view, axes=tuple((step,) for step in steps)).cut(0, start, stop)


def _as_stored(view: View, sources: Sources, limit: int) -> Iterator[Array]:
    buffer = np.empty(min(limit, view.nbytes), dtype=np.uint8)
    end = view.offset + view.nbytes
    for at in range(view.offset, end, len(buffer)):
        piece = buffer[: min(len(buffer), end - at)]
        sources.read(str(view.tensor.file), at, piece.data)
        yield piece


def _gathered(values: Values, sources: Sources, limit: int) -> Array:
    """The elements of a view that fits a piece, in order, as little-endian unsigned numbers of their width."""
    view = values.view
    width = BITS[view.tensor.dtype] // 8
    found = np.empty([step.size for step in view.steps], dtype=f"u{width}")
    _fill(found, view.steps, view, view.start, sources, limit)
    found = found.reshape(-1)
    if view.tensor.big_endian:
        # A complex number is two of half its width.
        found.view(f"u{width // 2}" if view.tensor.dtype == "C64" else found.dtype).byteswap(inplace=True)
    for amount in values.amounts:
        found = _added(found, view.tensor.dtype, amount)
    return found


def _fill(into: Array, steps: Sequence[Step], view: View, start: int, sources: Sources, limit: int) -> None:
    """Elements of the given sub-axes from element `start` on; what lies far apart is read a strip at a time."""
    if 0 in into.shape:
        return
    width = into.itemsize
    reach = 1 + sum((step.size - 1) * step.stride for step in steps)
    if reach * width <= max(limit, width):
        strip = np.empty(reach, dtype=into.dtype)
        assert view.tensor.offset is not None
        sources.read(str(view.tensor.file), view.tensor.offset + start * width, strip.view(np.uint8).data)
        into[...] = as_strided(strip, into.shape, [step.stride * width for step in steps])
        return
    axis = max(range(len(steps)), key=lambda n: steps[n].stride * (steps[n].size > 1))
    widest = steps[axis]
    inner = reach - (widest.size - 1) * widest.stride
    count = max(1, (limit // width - inner) // widest.stride + 1)
    for at in range(0, widest.size, count):
        size = min(count, widest.size - at)
        some = [*steps[:axis], Step(size, widest.stride), *steps[axis + 1 :]]
        part = into[(slice(None),) * axis + (slice(at, at + size),)]
        _fill(part, some, view, start + at * widest.stride, sources, limit)


def _added(found: Array, dtype: str, amount: float) -> Array:
    """Each element and the amount, summed in float32 (F64 in float64) and rounded to what it was stored as."""
    numbers = decode(found.view(np.uint8), dtype)
    assert numbers is not None
    exact: Array = numbers.astype(np.float64 if dtype == "F64" else np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number, or too large for one, stays so
        exact += amount
        summed: Array = exact.astype(numbers.dtype).view(found.dtype)
    return summed.byteswap() if NATIVE == "big" else summed
