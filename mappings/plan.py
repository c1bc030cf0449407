"""Architecture x config x header x tp -> what each rank has to do: the load plan.

The plan is columnar: one verdict a tensor, one list of laws a row. Moves are spelled out only when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from mappings.bind import Binding, BoundRow, Law, Leaf, is_fused
from mappings.claims import Claim, Claims
from mappings.names import Indices
from mappings.params import VOCABULARY_MULTIPLE
from mappings.views import Box, Ranges, Shape, View, boxes, contiguous, moved_on


class Stored(Protocol):
    """What the plan needs to know of a tensor in a header."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Shape: ...


class Place:
    """A law at one position of the name axes that shift it: the same for every layer, another for every expert."""

    def __init__(self, row: BoundRow, law: Law, indices: Indices) -> None:
        self.law = law
        self.dst = law.dst
        self.by = sum(i * s for i, s in zip(indices, law.shift, strict=True))
        if self.by:
            self.dst = law.dst.shifted(self.by)
        self.shard = _shard(law, indices)
        self._row = row

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The moves that a copy to this place is written down as."""
        whole = self._row.leaf.form(self.law.rank).shape
        unshifted = boxes(self._row.shape, self.law.src, whole, self.law.dst)
        moved = moved_on(unshifted, whole, self.by) if self.by else unshifted
        return boxes(self._row.shape, self.law.src, whole, self.dst) if moved is None else moved


def _shard(law: Law, indices: Indices) -> str | int | None:
    expert = next((i for i, s in zip(indices, law.shift, strict=True) if s), None)
    if expert is not None and not law.part:
        return expert
    return f"{expert}.{law.part}" if expert is not None else law.part or None


class Step(NamedTuple):
    """One copy that a rank makes: part of a tensor to part of a parameter."""

    tensor: int
    """Position in the header."""
    row: BoundRow
    indices: Indices
    place: Place
    param: str

    @property
    def law(self) -> Law:
        return self.place.law

    @property
    def src(self) -> View:
        return self.place.law.src

    @property
    def dst(self) -> View:
        """The destination at this tensor's positions of the name axes."""
        return self.place.dst

    @property
    def shard(self) -> str | int | None:
        """The shard's name in the trace: q, gate, an expert's number ..., None for a parameter that is not fused."""
        return self.place.shard


class Pad(NamedTuple):
    """A region that no tensor fills, by rule."""

    rank: int
    leaf: Leaf
    dst: View
    value: float
    reason: str


@dataclass(frozen=True)
class LoadPlan:
    """What every rank does with every tensor."""

    binding: Binding
    tensors: Sequence[Stored]
    claims: Sequence[Claim]

    @property
    def tp(self) -> int:
        return self.binding.tp

    def steps(self, rank: int) -> Iterator[Step]:
        """The copies of one rank, in file order."""
        places = self._places[rank]
        for position, row, indices, name, where in self._loaded:
            own = places.get(where)
            if own is None:
                own = places[where] = [Place(row, law, indices) for law in row.laws(rank)]
            for place in own:
                yield Step(position, row, indices, place, name)

    @cached_property
    def _places(self) -> list[dict[tuple[BoundRow, Indices], list[Place]]]:
        """On each rank, the places of a row at the positions that shift it, as far as they were asked for."""
        return [{} for _ in range(self.tp)]

    @cached_property
    def _loaded(self) -> list[tuple[int, BoundRow, Indices, str, tuple[BoundRow, Indices]]]:
        """The claimed tensors with the parameter that each leads to, and what tells its places; alike on every rank."""
        return [
            (position, row, indices, row.param_name(indices), (row, row.shifting(indices)))
            for position, (row, indices, _) in enumerate(self.claims) if isinstance(row, BoundRow)
        ]  # fmt: skip

    def boxes(self, step: Step) -> tuple[Box, ...]:
        """The moves that a step is written down as."""
        return step.place.boxes

    def pads(self, rank: int) -> Iterator[tuple[Pad, str]]:
        """The fills of one rank, with the parameter's name."""
        for pad in self._pads[rank]:
            for indices in pad.leaf.instances():
                yield pad, pad.leaf.pattern.name(indices)

    @cached_property
    def _pads(self) -> list[list[Pad]]:
        return [[*self._padding(rank), *self._constants(rank)] for rank in range(self.tp)]

    def _padding(self, rank: int) -> Iterator[Pad]:
        for leaf in self.binding.leaves:
            for part in leaf.parts:
                if part.cut and part.cut.kind == "pad":
                    view = padding(leaf, rank, part.name)
                    if view:
                        why = f"{part.cut.axis} padded to a multiple of {VOCABULARY_MULTIPLE}"
                        yield Pad(rank, leaf, view, 0.0, why)

    def _constants(self, rank: int) -> Iterator[Pad]:
        for fill, leaf in self.binding.fills:
            if rank != fill.except_rank:
                for part in fill.slot.parts:
                    yield Pad(rank, leaf, whole_part(leaf, rank, part.name), fill.value, fill.why)

    def params(self) -> Iterator[tuple[str, Leaf]]:
        """Every parameter by name, in table order."""
        for leaf in self.binding.leaves:
            for indices in leaf.instances():
                yield leaf.pattern.name(indices), leaf

    def shapes(self, rank: int) -> dict[str, Shape]:
        """The shape of every parameter on a rank."""
        return {name: leaf.form(rank).shape for name, leaf in self.params()}

    def tied(self) -> dict[str, str]:
        """Parameters that are another parameter's storage."""
        return {tie.param.leaf_name("weight"): tie.to.leaf_name("weight") for tie in self.binding.ties}

    def ranges(self, pad: Pad) -> tuple[Ranges, ...]:
        """The boxes of a fill."""
        return view_ranges(pad.leaf.form(pad.rank).shape, pad.dst)

    @cached_property
    def fused(self) -> frozenset[str]:
        """Names of the parameters that consist of several parts."""
        return frozenset(name for name, leaf in self.params() if is_fused(leaf))


def padding(leaf: Leaf, rank: int, part: str) -> View | None:
    """The places of a padded part beyond what the rank holds."""
    own = next(p for p in leaf.parts if p.name == part)
    extents = own.extents(leaf.axes, leaf.tp, rank)
    assert own.cut is not None
    cut = extents[own.cut.axis]
    if cut.room == cut.held:
        return None
    form = leaf.form(rank)
    strides = form.strides[part]
    sizes = tuple(e.room - e.held if a == own.cut.axis else e.held for a, e in extents.items())
    return View(
        form.offsets[part] + cut.held * strides[own.cut.axis], sizes, tuple(strides[a] for a in extents)
    )  # fmt: skip


def whole_part(leaf: Leaf, rank: int, part: str) -> View:
    """All places of one part."""
    rooms = leaf.rooms(rank)[part]
    form = leaf.form(rank)
    return View(form.offsets[part], tuple(rooms.values()), tuple(form.strides[part][a] for a in rooms))


def view_ranges(shape: Shape, view: View) -> tuple[Ranges, ...]:
    """The boxes of one view: those of a copy onto itself, laid out in its own order."""
    own = View(0, view.sizes, contiguous(view.sizes))
    return tuple(box.dst for box in boxes(view.sizes, own, shape, view))


def plan(binding: Binding, tensors: Sequence[Stored]) -> LoadPlan:
    """Give every tensor of a header its verdict."""
    return LoadPlan(binding, tensors, Claims(binding).claim([tensor.name for tensor in tensors]))

