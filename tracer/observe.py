"""From a rank's notes to the parameters, moves and pads of a trace: views become ranges.

Shapes and data types of parameters are those that were allocated, not those that were planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from mappings.plan import view_ranges
from mappings.views import Box, Shape, View, boxes, contiguous
from tracer.checkpoint.dtypes import from_config
from tracer.events import Padding, Parameter
from tracer.recorder import Note
from tracer.store import MoveRow, Store

if TYPE_CHECKING:
    from tracer.prepare import Prepared

Views: TypeAlias = tuple[int, Shape, Shape, int, Shape]
"""Source offset, sizes, source strides, destination offset, destination strides: the end of a note of a move."""


class Observer:
    """Writes notes of one rank to a store. `fused` names the parameters whose parts lie side by side."""

    def __init__(self, store: Store, rank: int, tensors: Mapping[str, Shape], fused: frozenset[str]) -> None:
        self._store = store
        self._rank = rank
        self._tensors = tensors
        self._fused = fused
        self._params: dict[str, Shape] = {}
        self._known: dict[tuple[Shape, Shape, Views], tuple[Box, ...]] = {}
        """Views say the same of every layer; what they mean need not be found out again."""

    def add(self, notes: Sequence[Note]) -> int:
        """Notes in the order in which they were made; how many moves these are."""
        self._store.add_params([self._param(note) for note in notes if note[0] == "param"])
        moves = self._store.add_moves(self._move(note) for note in notes if note[0] == "move")
        self._store.add_pads(pad for note in notes if note[0] == "pad" for pad in self._pads(note))
        return moves

    def learn(self, params: Sequence[Note]) -> None:
        """Notes of parameters, ahead of `add`: nothing is written."""
        for note in params:
            self._param(note)

    def count(self, copy: Note) -> int:
        """How many moves a note will make."""
        return len(self._move(copy).boxes)

    def _param(self, note: Note) -> Parameter:
        _, name, shape, strides, dtype, tied_to = note
        if tuple(strides) == contiguous(tuple(shape)):
            # Views of any other parameter cannot be told in ranges; its copies are then from and to the unknown.
            self._params[name] = tuple(shape)
        return Parameter(self._rank, name, tuple(shape), from_config(dtype) or dtype, name in self._fused, tied_to)

    def _move(self, note: Note) -> MoveRow:
        _, tensor, param, row, shard, op, *views = note
        return MoveRow(self._rank, tensor, row, shard, param, op, self._boxes(tensor, param, tuple(views)))

    def _boxes(self, tensor: str, param: str, views: Views) -> tuple[Box, ...]:
        """What moved. From an unknown source the destination is still known; to an unknown one nothing is."""
        target = self._params.get(param)
        if target is None:
            return ()
        # Also a name that the plan here does not know: it is for the audit to say so.
        source = self._tensors.get(tensor)
        shape = views[1] if source is None else source
        key = shape, target, views
        found = self._known.get(key)
        if found is None:
            src_offset, sizes, src_strides, dst_offset, dst_strides = views
            src = View(0, sizes, contiguous(sizes)) if source is None else View(src_offset, sizes, src_strides)
            found = boxes(shape, src, target, View(dst_offset, sizes, dst_strides))
            if source is not None:
                self._known[key] = found
        return found

    def _pads(self, note: Note) -> Iterable[Padding]:
        _, param, value, reason, offset, sizes, strides = note
        if param in self._params:
            for ranges in view_ranges(self._params[param], View(offset, tuple(sizes), tuple(strides))):
                yield Padding(self._rank, param, ranges, value, reason)


def observers_of(prepared: Prepared, store: Store, ranks: Sequence[int]) -> dict[int, Observer]:
    """The observers of some ranks of a plan."""
    tensors = {t.name: tuple(t.shape) for t in prepared.plan.tensors}
    return {rank: Observer(store, rank, tensors, prepared.plan.fused) for rank in ranks}
