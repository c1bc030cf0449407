"""A tensor as another one sees it: its elements where they lie in the file, in another order, and fewer of them.

Each logical axis is a sequence of sub-axes (size, stride), slowest first, so that the rows of heads can be reordered
without moving anything: whoever writes the view moves them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from typing import NamedTuple, TypeAlias

from mappings.views import contiguous
from tracer.checkpoint.dtypes import BITS, nbytes
from tracer.checkpoint.tensor_info import TensorInfo


class Step(NamedTuple):
    """So many elements, each so many elements after the one before."""

    size: int
    stride: int


Axis: TypeAlias = tuple[Step, ...]


class NotAView(ValueError):
    """What is asked for is no mere order of the elements that are there; says why, without the tensor's name."""


@dataclass(frozen=True, slots=True)
class View:
    """Elements of one tensor of a checkpoint. What cannot be done with it raises NotAView."""

    tensor: TensorInfo
    start: int
    """In elements, from the tensor's first."""
    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, tensor: TensorInfo) -> View:
        """All of a tensor."""
        strides = contiguous(tensor.shape) if tensor.strides is None else tensor.strides
        return cls(tensor, 0, tuple((Step(*step),) for step in zip(tensor.shape, strides, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(prod(step.size for step in axis) for axis in self.axes)

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return nbytes(self.tensor.dtype, self.elements)

    @property
    def offset(self) -> int:
        """Absolute byte in the file. Whatever is smaller than a byte is only ever taken whole."""
        assert self.tensor.offset is not None
        return self.tensor.offset + self.start * BITS[self.tensor.dtype] // 8

    @property
    def steps(self) -> list[Step]:
        """All sub-axes in order, without those of one element, and one where two follow each other in memory."""
        merged: list[Step] = []
        for step in chain.from_iterable(self.axes):
            if merged and merged[-1].stride == step.size * step.stride:
                merged[-1] = Step(merged[-1].size * step.size, step.stride)
            elif step.size != 1:
                merged.append(step)
        return merged

    @property
    def in_order(self) -> bool:
        """Whether its bytes are written as they lie in the file."""
        steps = self.steps
        return not self.tensor.big_endian and (not steps or (len(steps) == 1 and steps[0].stride == 1))

    def transposed(self) -> View:
        """The last two axes exchanged, of each matrix where there are several."""
        if len(self.axes) < 2:
            raise NotAView(f"expected a matrix to transpose, found shape {list(self.shape)}")
        self._whole_elements()
        return replace(self, axes=(*self.axes[:-2], self.axes[-1], self.axes[-2]))

    def interleaved(self, heads: int) -> View:
        """Of each head the rows i and i + d/2 as 2i and 2i + 1."""
        half = self._half(heads)
        outer, low = _split(self.axes[0], half)
        head, two = _split(outer, 2)
        return replace(self, axes=((*head, *low, *two), *self.axes[1:]))

    def halved(self, heads: int) -> View:
        """The inverse of `interleaved`."""
        half = self._half(heads)
        outer, two = _split(self.axes[0], 2)
        head, low = _split(outer, half)
        return replace(self, axes=((*head, *two, *low), *self.axes[1:]))

    def _half(self, heads: int) -> int:
        """Half of how many rows a head has."""
        self._whole_elements()
        rows = self.shape[0] if self.axes else 0
        if heads < 1 or not rows or rows % (2 * heads):
            raise NotAView(f"expected {heads} heads of an even number of rows, found {rows} rows")
        return rows // (2 * heads)

    def cut(self, axis: int, start: int, stop: int) -> View:
        """[start, stop) of an axis."""
        self._whole_elements()
        first, *inner = self.axes[axis]
        run = prod(step.size for step in inner)
        if start % run or stop % run:
            raise NotAView(f"[{start}, {stop}) of axis {axis} cuts through rows that are reordered, {run} at a time")
        kept: Axis = (Step((stop - start) // run, first.stride), *inner)
        axes = (*self.axes[:axis], kept, *self.axes[axis + 1 :])
        return replace(self, start=self.start + start // run * first.stride, axes=axes)

    def without(self, axis: int) -> View:
        """One axis of one element less."""
        assert self.shape[axis] == 1
        return replace(self, axes=(*self.axes[:axis], *self.axes[axis + 1 :]))

    def with_new(self, axis: int) -> View:
        """One axis of one element more."""
        return replace(self, axes=(*self.axes[:axis], (Step(1, 0),), *self.axes[axis:]))

    def _whole_elements(self) -> None:
        bits = BITS[self.tensor.dtype]
        if bits % 8:
            raise NotAView(f"its elements of {bits} bits are packed, so that they can only be kept as they are")


def _split(axis: Axis, size: int) -> tuple[Axis, Axis]:
    """An axis as an outer and an inner one, the inner one of so many elements."""
    inner: Axis = ()
    for at in reversed(range(len(axis))):
        if size == 1:
            return axis[: at + 1], inner
        step = axis[at]
        if size % step.size == 0:
            inner, size = (step, *inner), size // step.size
        elif step.size % size == 0:
            outer = Step(step.size // size, step.stride * size)
            return (*axis[:at], outer), (Step(size, step.stride), *inner)
        else:
            raise NotAView(f"its rows were reordered before, and not in stretches that {size} rows fit")
    assert size == 1, "the axis has a multiple of it"
    return (), inner
