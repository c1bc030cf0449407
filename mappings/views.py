"""A strided view of a tensor, and the boxes in it.

A move is executed, and observed, as a pair of views (offset, sizes, strides); it is written down as ranges, one a
dimension. `boxes` turns the one into the other without knowing what the views are for, so that the same function
serves the plan and the observation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import NamedTuple, TypeAlias

Shape: TypeAlias = tuple[int, ...]
Range: TypeAlias = tuple[int, int, int]
"""Start, stop (exclusive) and step, in elements."""
Ranges: TypeAlias = tuple[Range, ...]


class View(NamedTuple):
    """Offset, sizes and strides in elements, within one contiguous tensor."""

    offset: int
    sizes: Shape
    strides: Shape

    def shifted(self, by: int) -> View:
        """The same view, `by` elements further."""
        return View(self.offset + by, self.sizes, self.strides)


class Box(NamedTuple):
    """One move: `tensor[src]`, its axes permuted by `perm`, lands on `param[dst]`."""

    src: Ranges
    dst: Ranges
    perm: tuple[int, ...] | None


class Loop(NamedTuple):
    """One axis of a pair of views: how far a step along it goes on each side."""

    size: int
    src: int
    dst: int


def contiguous(shape: Shape) -> Shape:
    """Row-major strides."""
    strides, inner = [], 1
    for size in reversed(shape):
        strides.append(inner)
        inner *= size
    return tuple(reversed(strides))


@lru_cache(maxsize=1 << 16)
def boxes(src_shape: Shape, src: View, dst_shape: Shape, dst: View) -> tuple[Box, ...]:
    """The boxes of a copy from one view to the other; several where a block is not a (stepped) box.

    Both views have the same sizes. Raises ValueError when they do not, or when a view leaves its tensor.
    """
    if src.sizes != dst.sizes:
        raise ValueError(f"views of different extents: {src.sizes} and {dst.sizes}")
    if 0 in src.sizes:
        return ()
    _check_inside(src_shape, src)
    _check_inside(dst_shape, dst)
    loops = [Loop(*axis) for axis in zip(src.sizes, src.strides, dst.strides, strict=True) if axis[0] > 1]
    loops = _split(loops, src_shape, src, dst_shape, dst)
    loops = _merge(sorted(loops, key=lambda loop: -loop.dst), src_shape, dst_shape)
    kept, unrolled = _unroll(loops, src_shape, dst_shape)
    while True:
        found = tuple(
            _box(src_shape, src.offset + a, dst_shape, dst.offset + b, kept) for a, b in _offsets(unrolled)
        )  # fmt: skip
        if all(_within(box.src, src_shape) and _within(box.dst, dst_shape) for box in found):
            return found
        # From where it starts, a loop runs on into the next position of an outer dimension.
        unrolled.append(kept.pop())


def moved_on(found: Sequence[Box], dst_shape: Shape, by: int) -> tuple[Box, ...] | None:
    """The boxes of a copy when its destination lies `by` elements further; None where they run over an edge.

    What `boxes` would say, for a fraction of its cost: only where the boxes begin depends on the offset.
    """
    steps = unravel(by, dst_shape)
    moved = tuple(
        Box(src, tuple((a + n, b + n, step) for (a, b, step), n in zip(dst, steps, strict=True)), perm)
        for src, dst, perm in found
    )  # fmt: skip
    return moved if all(_within(box.dst, dst_shape) for box in moved) else None


def _within(ranges: Ranges, shape: Shape) -> bool:
    return all(stop <= size for (_, stop, _), size in zip(ranges, shape, strict=True))


def _check_inside(shape: Shape, view: View) -> None:
    last = view.offset + sum((n - 1) * s for n, s in zip(view.sizes, view.strides, strict=True))
    if view.offset < 0 or last >= prod(shape):
        raise ValueError(f"view {view} leaves a tensor of shape {shape}")


def unravel(offset: int, shape: Shape) -> Shape:
    """The position of a flat offset."""
    position = []
    for stride in contiguous(shape):
        position.append(offset // stride)
        offset %= stride
    return tuple(position)


def _dim(stride: int, shape: Shape) -> int | None:
    """The dimension along which a step of `stride` elements goes, or None where it goes along none."""
    for dim, (size, own) in enumerate(zip(shape, contiguous(shape), strict=True)):
        if size > 1 and 0 < own <= stride:
            return dim if stride % own == 0 else None
    return None


def _split(loops: list[Loop], src_shape: Shape, src: View, dst_shape: Shape, dst: View) -> list[Loop]:
    """Loops that run over several dimensions on one side (flattened views), one for each dimension."""
    for side, shape, view in ((1, src_shape, src), (2, dst_shape, dst)):
        done: list[Loop] = []
        todo = list(loops)
        while todo:
            loop = todo.pop()
            inner = _overflow(loop.size, loop[side], shape, view)
            if inner:
                todo += [Loop(loop.size // inner, loop.src * inner, loop.dst * inner), loop._replace(size=inner)]
            else:
                done.append(loop)
        loops = done
    return loops


def _overflow(size: int, stride: int, shape: Shape, view: View) -> int:
    """How many positions fit into the dimension if `size` do not, 0 when all fit."""
    dim = _dim(stride, shape)
    if dim is None:
        return 0
    room = shape[dim] // (stride // contiguous(shape)[dim])
    return room if size > room > 1 and size % room == 0 else 0


def _merge(loops: list[Loop], src_shape: Shape, dst_shape: Shape) -> list[Loop]:
    """Neighbours that are one range on both sides become one loop."""
    merged: list[Loop] = []
    for loop in loops:
        if merged and _one_range(merged[-1], loop, src_shape, dst_shape):
            merged[-1] = loop._replace(size=merged[-1].size * loop.size)
        else:
            merged.append(loop)
    return merged


def _one_range(outer: Loop, inner: Loop, src_shape: Shape, dst_shape: Shape) -> bool:
    return (
        outer.src == inner.src * inner.size
        and outer.dst == inner.dst * inner.size
        and _dim(outer.src, src_shape) == _dim(inner.src, src_shape)
        and _dim(outer.dst, dst_shape) == _dim(inner.dst, dst_shape)
    )


def _unroll(loops: list[Loop], src_shape: Shape, dst_shape: Shape) -> tuple[list[Loop], list[Loop]]:
    """Loops kept in one box, and loops written out as several, the shortest first."""
    kept, unrolled = list(loops), []
    while clash := _clash(kept, src_shape, dst_shape):
        shortest = min(clash, key=lambda loop: loop.size)
        kept.remove(shortest)
        unrolled.append(shortest)
    return kept, sorted(unrolled, key=lambda loop: -loop.dst)


def _clash(loops: list[Loop], src_shape: Shape, dst_shape: Shape) -> list[Loop]:
    """Loops that cannot stand in one box: they go along no dimension, or share one without being one range."""
    for side, shape in ((1, src_shape), (2, dst_shape)):
        by_dim: dict[int, list[Loop]] = {}
        for loop in loops:
            dim = _dim(loop[side], shape)
            if dim is None:
                return [loop]
            by_dim.setdefault(dim, []).append(loop)
        for same in by_dim.values():
            if len(same) > 1 and not _flattened(same, side, loops):
                return same
    return []


def _flattened(same: list[Loop], side: int, loops: list[Loop]) -> bool:
    """Whether loops of one dimension are a run of the other side's axes, flattened in row-major order."""
    same = sorted(same, key=lambda loop: -loop[side])
    uniform = all(a[side] == b[side] * b.size for a, b in pairwise(same))
    other = sorted(loops, key=lambda loop: -loop[3 - side])
    first = other.index(same[0])
    return uniform and other[first : first + len(same)] == same


def _offsets(unrolled: list[Loop]) -> Iterator[tuple[int, int]]:
    for position in product(*(range(loop.size) for loop in unrolled)):
        yield (
            sum(i * loop.src for i, loop in zip(position, unrolled, strict=True)),
            sum(i * loop.dst for i, loop in zip(position, unrolled, strict=True)),
        )


def _box(src_shape: Shape, src: int, dst_shape: Shape, dst: int, loops: list[Loop]) -> Box:
    source = _ranges(src_shape, src, [(loop.size, loop.src) for loop in loops])
    target = _ranges(dst_shape, dst, [(loop.size, loop.dst) for loop in loops])
    return Box(source, target, _permutation(src_shape, [loop.src for loop in loops]))


def _ranges(shape: Shape, offset: int, loops: Iterable[tuple[int, int]]) -> Ranges:
    ranges = [(start, start + 1, 1) for start in unravel(offset, shape)]
    strides = contiguous(shape)
    steps: dict[int, tuple[int, int]] = {}
    for size, stride in loops:
        dim = _dim(stride, shape)
        assert dim is not None, "loops along no dimension were unrolled"
        count, step = steps.get(dim, (1, stride // strides[dim]))
        steps[dim] = (count * size, min(step, stride // strides[dim]))
    for dim, (count, step) in steps.items():
        start = ranges[dim][0]
        ranges[dim] = (start, start + (count - 1) * step + 1, step)
    return tuple(ranges)


def _permutation(shape: Shape, strides: list[int]) -> tuple[int, ...] | None:
    """Source dimensions in the order of the destination, None when that is their own order."""
    order = list(dict.fromkeys(_dim(stride, shape) for stride in strides))
    if order == sorted(order, key=lambda dim: -1 if dim is None else dim):
        return None
    idle = [dim for dim in range(len(shape)) if dim not in order]
    return (*idle, *(dim for dim in order if dim is not None))
