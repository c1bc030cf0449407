"""What went from one tensor to one parameter on a rank, as a set of elements: one move or three that cover the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from math import prod
from typing import Any

from mappings.views import Box, Range, Ranges, Shape

MOST_ELEMENTS = 1 << 24
"""Elements that are looked at one by one where blocks are cut so differently that their edges do not tell."""
_MOST_PIECES = 512
_PIECE = 1 << 18
"""Elements whose positions are computed together."""
_LARGEST_KEY = (1 << 63) - 1


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
    """Whether both move the same elements to the same places; None where there are too many to look.

    At most `MOST_ELEMENTS` of 8 bytes are in memory at once, and a few pieces.
    """
    if dst_shape != shape_of_other:
        return False
    if any(elements([box]) != prod(extent(found) for found in box.dst) for box in (*one, *other)):
        return False  # no trace of a load has such a move
    many = max(elements(one), elements(other)) > MOST_ELEMENTS
    if many or prod(src_shape) * prod(dst_shape) > _LARGEST_KEY:
        return None
    return _digest(one, src_shape, dst_shape) == _digest(other, src_shape, dst_shape)


def _digest(boxes: Sequence[Box], src_shape: Shape, dst_shape: Shape) -> bytes:
    """Of the set of all pairs of flat positions: what is moved twice counts once."""
    import numpy as np

    keys = np.empty(elements(boxes), np.int64)
    filled = 0
    for piece in _keys(boxes, src_shape, dst_shape):
        keys[filled : filled + len(piece)] = piece
        filled += len(piece)
    keys.sort()
    digest = blake2b()
    for start in range(0, len(keys), _PIECE):
        piece = keys[start : start + _PIECE]
        before = keys[start - 1] if start else -1
        digest.update(piece[np.diff(piece, prepend=before) != 0].tobytes())
    return digest.digest()


def _keys(boxes: Sequence[Box], src_shape: Shape, dst_shape: Shape) -> Iterator[Any]:
    """A number for each element that tells where it is from and where it goes, in pieces."""
    import numpy as np

    size = prod(src_shape)
    for box in boxes:
        order = box.perm or range(len(box.src))
        steps = _strides(src_shape)
        source = [(box.src[dim], steps[dim]) for dim in order]
        target = list(zip(box.dst, _strides(dst_shape), strict=True))
        count = elements([box])
        for start in range(0, count, _PIECE):
            places = np.arange(start, min(start + _PIECE, count))
            yield _flat(places, target) * size + _flat(places, source)


def _strides(shape: Shape) -> list[int]:
    return [prod(shape[dim + 1 :]) for dim in range(len(shape))]


def _flat(places: Any, dims: Sequence[tuple[Range, int]]) -> Any:
    """Flat positions in a tensor of what is at these places of a block, given as ranges and their strides."""
    import numpy as np

    if not dims:
        return np.zeros_like(places)
    indices = np.unravel_index(places, [extent(found) for found, _ in dims])
    parts = ((found[0] + index * found[2]) * stride for index, (found, stride) in zip(indices, dims, strict=True))
    return sum(parts, np.zeros_like(places))
