"""A layout made concrete: how large a tensor is and how far a step along each axis of each part goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from mappings.axes import PART, Axes, Dim, Layout
from mappings.params import Cut, Part
from mappings.shards import Shard, box_of, shard
from mappings.views import Shape, contiguous


class Extent(NamedTuple):
    """What one rank holds of one atom: positions `start .. start + held` of the whole, in `room` places."""

    start: int
    held: int
    room: int


@dataclass(frozen=True)
class AtomPart:
    """A part of one leaf, spelled in atoms."""

    name: str
    atoms: Dim
    """In canonical order."""
    cut: Cut | None
    cut_dim: Dim
    """The dimension of the weight that the cut axis is in; only block axes need it."""
    block_axis: str | None
    """For a leaf counted in blocks: the axis that counts the cut dimension."""

    def extents(self, axes: Axes, tp: int, rank: int) -> dict[str, Extent]:
        """What `rank` holds. The cut must be legal."""
        whole = {atom: Extent(0, axes.size(atom), axes.size(atom)) for atom in self.atoms}
        if self.cut is None:
            return whole
        held = shard(self.cut, axes.size(self.cut.axis), tp, rank)
        if self.block_axis:
            return whole | self._blocks(axes, held)
        atoms = axes.atoms((self.cut.axis,))
        box = box_of((held.start, held.stop), tuple(axes.size(atom) for atom in atoms))
        assert box is not None, "an illegal cut is refused before a plan is made"
        room = held.room - (held.stop - held.start)
        return whole | {
            atom: Extent(start, stop - start, stop - start + room)
            for atom, (start, stop) in zip(atoms, box, strict=True)
        }  # fmt: skip

    def _blocks(self, axes: Axes, held: Shard) -> dict[str, Extent]:
        assert self.cut is not None and self.block_axis is not None
        if self.block_axis not in self.atoms:
            return {}
        block = int(self.block_axis.rpartition("/")[2])
        inner = axes.extent(self.cut_dim) // axes.size(self.cut.axis)
        start, stop = held.start * inner // block, -(-held.stop * inner // block)
        return {self.block_axis: Extent(start, stop - start, stop - start)}


def atom_part(axes: Axes, part: Part, blocked: Mapping[Dim, str] | None = None) -> AtomPart:
    """A part of a leaf in atoms; `blocked` maps dimensions of the weight to the axes that count their blocks."""
    atoms = tuple(atom for dim in part.dims for atom in axes.atoms(dim))
    dim = next((d for d in (blocked or {}) if part.cut and part.cut.axis in d), ())
    return AtomPart(part.name, atoms, part.cut, dim, (blocked or {}).get(dim))


class Form(NamedTuple):
    """Shape, and for each part the flat offset and the stride of each of its atoms, in elements."""

    shape: Shape
    offsets: Mapping[str, int]
    strides: Mapping[str, Mapping[str, int]]


def form(layout: Layout, parts: Sequence[AtomPart], rooms: Mapping[str, Mapping[str, int]]) -> Form:
    """Lay parts out. `rooms` gives the places along each atom of each part.

    Atoms that the layout does not mention stand where `part` stands, in canonical order.
    """
    mentioned = {axis for dim in layout for axis in dim}
    own = {p.name: [a for a in p.atoms if a not in mentioned] for p in parts}
    shape = tuple(_extent(dim, parts, own, rooms) for dim in layout)
    offsets = {p.name: 0 for p in parts}
    strides: dict[str, dict[str, int]] = {p.name: {} for p in parts}
    for dim, stride in zip(layout, contiguous(shape), strict=True):
        _lay(dim, stride, parts, own, rooms, offsets, strides)
    return Form(shape, offsets, strides)


def _room(rooms: Mapping[str, Mapping[str, int]], parts: Sequence[AtomPart], axis: str) -> int:
    return next(rooms[p.name][axis] for p in parts if axis in rooms[p.name])


def _extent(
    dim: Sequence[str], parts: Sequence[AtomPart], own: Mapping[str, list[str]],
    rooms: Mapping[str, Mapping[str, int]],
) -> int:  # fmt: skip
    beside = sum(prod(rooms[p.name][a] for a in own[p.name]) for p in parts)
    return prod(beside if axis == PART else _room(rooms, parts, axis) for axis in dim)


def _lay(
    dim: Sequence[str], stride: int, parts: Sequence[AtomPart], own: Mapping[str, list[str]],
    rooms: Mapping[str, Mapping[str, int]], offsets: dict[str, int], strides: dict[str, dict[str, int]],
) -> None:  # fmt: skip
    """Give every atom of one dimension its stride, innermost first."""
    for axis in reversed(dim):
        if axis != PART:
            for p in parts:
                strides[p.name][axis] = stride
            stride *= _room(rooms, parts, axis)
            continue
        beside = 0
        for p in parts:
            offsets[p.name] += beside * stride
            inner = 1
            for atom in reversed(own[p.name]):
                strides[p.name][atom] = stride * inner
                inner *= rooms[p.name][atom]
            beside += inner
        stride *= beside
