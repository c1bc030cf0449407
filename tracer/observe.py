"""From a rank's notes to the parameters, moves and pads of a trace: views become ranges.

Shapes and data types of parameters are those that were allocated, not those that were planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mappings.plan import view_ranges
from mappings.views import Box, Shape, View, boxes, contiguous
from tracer.checkpoint.dtypes import from_config
from tracer.events import Padding, Parameter
from tracer.recorder import UNKNOWN, Note
from tracer.store import MoveRow, Store


class Observer:
    """Writes notes of one rank to a store. `fused` names the parameters whose parts lie side by side."""

    def __init__(self, store: Store, rank: int, tensors: Mapping[str, Shape], fused: frozenset[str]) -> None:
        self._store = store
        self._rank = rank
        self._tensors = tensors
        self._fused = fused
        self._params: dict[str, Shape] = {}

    def add(self, notes: Sequence[Note]) -> None:
        """Notes in the order in which they were made."""
        self._store.add_params([self._param(note) for note in notes if note[0] == "param"])
        self._store.add_moves(self._move(note) for note in notes if note[0] == "move")
        self._store.add_pads(pad for note in notes if note[0] == "pad" for pad in self._pads(note))

    def _param(self, note: Note) -> Parameter:
        _, name, shape, strides, dtype, tied_to = note
        if tuple(strides) == contiguous(tuple(shape)):
            # Views of any other parameter cannot be told in ranges; its copies are then from and to the unknown.
            self._params[name] = tuple(shape)
        return Parameter(self._rank, name, tuple(shape), from_config(dtype) or dtype, name in self._fused, tied_to)

    def _move(self, note: Note) -> MoveRow:
        _, tensor, param, row, shard, op, src_offset, sizes, src_strides, dst_offset, dst_strides = note
        src = View(src_offset, tuple(sizes), tuple(src_strides))
        dst = View(dst_offset, tuple(sizes), tuple(dst_strides))
        return MoveRow(self._rank, tensor, row, shard, param, op, self._boxes(tensor, src, param, dst))

    def _boxes(self, tensor: str, src: View, param: str, dst: View) -> Iterable[Box]:
        """What moved. From an unknown source the destination is still known; to an unknown one nothing is."""
        if param not in self._params:
            return ()
        if tensor == UNKNOWN:
            src = View(0, dst.sizes, contiguous(dst.sizes))
        shape = dst.sizes if tensor == UNKNOWN else self._tensors[tensor]
        return boxes(shape, src, self._params[param], dst)

    def _pads(self, note: Note) -> Iterable[Padding]:
        _, param, value, reason, offset, sizes, strides = note
        if param in self._params:
            for ranges in view_ranges(self._params[param], View(offset, tuple(sizes), tuple(strides))):
                yield Padding(self._rank, param, ranges, value, reason)
