"""How often each element of a tensor was touched: a count over the cells that the blocks' edges cut out.

Coverage is by element range, never by name. The cost is in blocks, not in elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from mappings.views import Ranges, Shape
from tracer.errors import InputError

Counts: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.int32]]"
Mask: TypeAlias = "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"
_MOST_CELLS = 1 << 27
"""Of one tensor; what a trace says takes no more memory than this many counts."""
MOST_REGIONS = 16
"""Regions named in one finding; the number of elements is always exact."""


class Region(NamedTuple):
    """A block of elements that were touched equally often."""

    ranges: Ranges
    touched: int


class Coverage:
    """Counts over a compressed grid: a dimension is cut where a block begins or ends. Blocks must lie inside."""

    def __init__(self, shape: Shape, blocks: Iterable[tuple[Ranges, int]]) -> None:
        self.shape = shape
        weighted = list(blocks)
        self.edges = [_edges(size, [ranges[dim] for ranges, _ in weighted]) for dim, size in enumerate(shape)]
        cells = tuple(len(edges) - 1 for edges in self.edges)
        if prod(cells) > _MOST_CELLS:
            raise _too_many(shape)
        self.counts: Counts = np.zeros(cells, dtype=np.int32)
        for ranges, weight in weighted:
            self.counts[tuple(_cells(edges, r) for edges, r in zip(self.edges, ranges, strict=True))] += weight

    def elements(self, mask: Mask) -> int:
        """How many elements the marked cells hold."""
        sizes = np.ones((), dtype=np.int64)
        for edges in self.edges:
            sizes = np.multiply.outer(sizes, np.diff(edges))
        return int((sizes * mask).sum())

    def regions(self, mask: Mask) -> list[Region]:
        """The marked cells as blocks, at most `MOST_REGIONS` of them."""
        found: list[Region] = []
        left = np.array(mask)  # of a tensor without dimensions it is a number
        while left.any() and len(found) < MOST_REGIONS:
            block = _grow(left, self.counts, tuple(np.argwhere(left)[0].tolist()))
            found.append(Region(self._ranges(block), int(self.counts[block].flat[0])))
            left[block] = False
        return found

    def _ranges(self, block: tuple[slice, ...]) -> Ranges:
        return tuple(
            (int(edges[s.start]), int(edges[s.stop]), 1) for edges, s in zip(self.edges, block, strict=True)
        )  # fmt: skip


def _edges(size: int, ranges: Sequence[tuple[int, int, int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where a dimension is cut; at every element if any block is strided in it."""
    if any(step > 1 for _, _, step in ranges):
        if size > _MOST_CELLS:
            raise _too_many((size,))
        return np.arange(size + 1)
    points = {0, size, *(r[0] for r in ranges), *(r[1] for r in ranges)}
    return np.array(sorted(points))


def _too_many(shape: Shape) -> InputError:
    return InputError(f"the trace cuts a tensor of shape {shape} into more than {_MOST_CELLS} pieces; no loader does")


def _cells(edges: np.ndarray[tuple[int], np.dtype[np.int64]], r: tuple[int, int, int]) -> slice:
    start, stop = np.searchsorted(edges, r[:2])
    return slice(int(start), int(stop), r[2])


def _grow(left: Mask, counts: Counts, at: tuple[int, ...]) -> tuple[slice, ...]:
    """The largest block of equal counts from one cell, grown along the last dimension first."""
    value = counts[at]
    block = [slice(i, i + 1) for i in at]
    for dim in reversed(range(len(at))):
        while block[dim].stop < left.shape[dim]:
            layer = tuple(slice(s.stop, s.stop + 1) if d == dim else s for d, s in enumerate(block))
            if not (left[layer].all() and (counts[layer] == value).all()):
                break
            block[dim] = slice(block[dim].start, block[dim].stop + 1)
    return tuple(block)


def inside(block: Ranges, shape: Shape) -> bool:
    """Whether a block lies in a tensor: as many dimensions, none beyond its extent."""
    return len(block) == len(shape) and all(
        0 <= start <= stop <= size and step > 0 for (start, stop, step), size in zip(block, shape, strict=True)
    )  # fmt: skip


def show(ranges: Ranges, shape: Shape | None = None) -> str:
    """Ranges as in numpy: `[0:2048]`, `[:, 0:64]`, `[0:512:2]`; whole trailing dimensions are left out."""
    texts = [_show(r, shape[i] if shape else None) for i, r in enumerate(ranges)]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    return f"[{', '.join(texts)}]"


def _show(r: tuple[int, int, int], size: int | None) -> str:
    if size is not None and r == (0, size, 1):
        return ":"
    return f"{r[0]}:{r[1]}" + (f":{r[2]}" if r[2] > 1 else "")


def show_all(regions: Sequence[Region], shape: Shape) -> str:
    """Several regions, the first few spelled out."""
    texts = [show(r.ranges, shape) for r in regions[:3]]
    return ", ".join(texts) + (f" and {len(regions) - 3} more" if len(regions) > 3 else "")
