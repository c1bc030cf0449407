"""What went from one tensor to one parameter on a rank, as a set of elements: one move or three that cover the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from mappings.views import Box, Range, Ranges, Shape

MOST_ELEMENTS = 1 << 24
"""Elements that are looked at one by one where blocks are cut so differently that their edges do not tell."""
_MOST_PIECES = 512


def merged(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The same elements in as few blocks as joining neighbours gives, in the order of their destinations."""
    found = sorted(set(boxes), key=_by_destination)
    while len(found) <= _MOST_PIECES:
        joined: list[Box] = []
        for box in found:
            place, both = next(
                ((place, both) for place, kept in enumerate(joined) if (both := join(kept, box))), (None, box)
            )  # fmt: skip
            if place is None:
                joined.append(box)
            else:
                joined[place] = both
        if len(joined) == len(found):
            break
        found = sorted(joined, key=_by_destination)
    return tuple(found)


def _by_destination(box: Box) -> tuple[Ranges, Ranges]:
    return box.dst, box.src


def join(one: Box, other: Box) -> Box | None:
    """Two blocks as one, where the second goes on in one dimension of both sides from where the first ends."""
    if one.perm != other.perm:
        return None
    src, dst = _longer(one.src, other.src), _longer(one.dst, other.dst)
    if src is None or dst is None:
        return None
    return Box(src, dst, one.perm) if _grown(one.src, src) == _grown(one.dst, dst) else None


def _longer(one: Ranges, other: Ranges) -> Ranges | None:
    """Both ranges as one, if they differ in one dimension and follow each other there."""
    unlike = [dim for dim, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(unlike) != 1:
        return None
    dim = unlike[0]
    a, b = one[dim], other[dim]
    if a[2] != b[2] or _last(a) + a[2] != b[0]:
        return None
    return (*one[:dim], (a[0], b[1], a[2]), *one[dim + 1 :])


def _last(found: Range) -> int:
    """The last position of a range."""
    return found[0] + (found[1] - 1 - found[0]) // found[2] * found[2]


def _grown(before: Ranges, after: Ranges) -> tuple[int, int]:
    """Elements that are further in than the dimension that grew, and of that dimension: alike on both sides."""
    dim = next(dim for dim, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    return prod(extent(r) for r in before[dim + 1 :]), extent(before[dim])


def extent(found: Range) -> int:
    """Positions of a range."""
    return max(0, -(-(found[1] - found[0]) // found[2]))


def elements(boxes: Sequence[Box]) -> int:
    return sum(prod(extent(r) for r in box.src) for box in boxes)


def same_elements(
    one: Sequence[Box], other: Sequence[Box], src_shape: Shape, dst_shape: Shape, shape_of_other: Shape
) -> bool | None:  # fmt: skip
    """Whether both move the same elements to the same places; None where there are too many to look."""
    if dst_shape != shape_of_other:
        return False
    if max(elements(one), elements(other)) > MOST_ELEMENTS:
        return None
    import numpy as np

    def moves(boxes: Sequence[Box]) -> Any:
        found = np.concatenate([np.stack(pair, axis=1) for pair in _flat(boxes, src_shape, dst_shape)])
        return np.unique(found, axis=0)

    return bool(np.array_equal(moves(one), moves(other)))


def _flat(boxes: Sequence[Box], src_shape: Shape, dst_shape: Shape) -> Iterator[tuple[Any, Any]]:
    """Flat positions of each block's elements, in the source and in the destination."""
    import numpy as np

    for box in boxes:
        source = np.ix_(*(np.arange(*r) for r in box.src)) if box.src else ()
        target = np.ix_(*(np.arange(*r) for r in box.dst)) if box.dst else ()
        places = np.ravel_multi_index(np.broadcast_arrays(*source), src_shape) if box.src else np.zeros((), int)
        if box.perm:
            places = places.transpose(box.perm)
        ends = np.ravel_multi_index(np.broadcast_arrays(*target), dst_shape) if box.dst else np.zeros((), int)
        yield places.ravel(), ends.ravel()
