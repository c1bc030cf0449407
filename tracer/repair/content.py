"""What a tensor of the copy consists of: views of tensors of the checkpoint, and such views end to end.

Both take the same orders, and answer with another content; what is no mere order of elements raises NotAView.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.repair.view import NotAView, View

Rows: TypeAlias = Literal["half-to-interleaved", "interleaved-to-half"]


@dataclass(frozen=True, slots=True)
class Values:
    """A view of one tensor, and what is added to each of its elements."""

    view: View
    amounts: tuple[float, ...] = ()

    @property
    def first(self) -> TensorInfo:
        """The tensor of the checkpoint that it begins with."""
        return self.view.tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def nbytes(self) -> int:
        return self.view.nbytes

    @property
    def as_stored(self) -> bool:
        """Whether its bytes are those of the file, in their order."""
        return self.view.in_order and not self.amounts

    def cut(self, axis: int, start: int, stop: int) -> Values:
        return replace(self, view=self.view.cut(axis, start, stop))

    def without(self, axis: int) -> Values:
        return replace(self, view=self.view.without(axis))

    def with_new(self, axis: int) -> Values:
        return replace(self, view=self.view.with_new(axis))

    def transposed(self) -> Values:
        return replace(self, view=self.view.transposed())

    def reordered(self, way: Rows, heads: int) -> Values:
        view = self.view.interleaved(heads) if way == "half-to-interleaved" else self.view.halved(heads)
        return replace(self, view=view)

    def plus(self, amount: float) -> Values:
        return replace(self, amounts=(*self.amounts, amount))

    def check_rows(self, axis: int) -> None:
        """Raises NotAView unless any stretch of each axis before this one is a view as well."""
        if BITS[self.view.tensor.dtype] % 8:
            raise NotAView("its elements are packed")
        if any(len(steps) > 1 for steps in self.view.axes[:axis]):
            raise NotAView("its rows are reordered as well")


@dataclass(frozen=True, slots=True)
class Joined:
    """Several of one dtype, end to end along an axis."""

    parts: tuple[Content, ...]
    axis: int
    as_stored = False

    @property
    def first(self) -> TensorInfo:
        return self.parts[0].first

    @property
    def shape(self) -> tuple[int, ...]:
        extents = list(self.parts[0].shape)
        extents[self.axis] = sum(part.shape[self.axis] for part in self.parts)
        return tuple(extents)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    def cut(self, axis: int, start: int, stop: int) -> Joined:
        if axis != self.axis:
            return replace(self, parts=tuple(part.cut(axis, start, stop) for part in self.parts))
        kept: list[Content] = []
        for part in self.parts:
            size = part.shape[axis]
            low, high = max(start, 0), min(stop, size)
            if low < high:
                kept.append(part if high - low == size else part.cut(axis, low, high))
            start, stop = start - size, stop - size
        return replace(self, parts=tuple(kept) or (self.parts[0].cut(axis, 0, 0),))

    def without(self, axis: int) -> Content:
        if axis == self.axis:
            return next(part for part in self.parts if part.shape[axis]).without(axis)
        parts = tuple(part.without(axis) for part in self.parts)
        return Joined(parts, self.axis - (axis < self.axis))

    def with_new(self, axis: int) -> Joined:
        return Joined(tuple(part.with_new(axis) for part in self.parts), self.axis + (axis <= self.axis))

    def transposed(self) -> Joined:
        last = len(self.shape) - 1
        exchanged = {last: last - 1, last - 1: last}
        return Joined(tuple(part.transposed() for part in self.parts), exchanged.get(self.axis, self.axis))

    def reordered(self, way: Rows, heads: int) -> Joined:
        raise NotAView(f"it is joined from {len(self.parts)} in the same repair; repair the copy once more")

    def plus(self, amount: float) -> Joined:
        return replace(self, parts=tuple(part.plus(amount) for part in self.parts))

    def check_rows(self, axis: int) -> None:
        for part in self.parts:
            part.check_rows(axis)


Content: TypeAlias = Values | Joined
