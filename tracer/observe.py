"""From a rank's notes to the moves and pads of a trace: views become ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mappings.plan import view_ranges
from mappings.views import Box, Shape, View, boxes
from tracer.events import Padding
from tracer.recorder import UNKNOWN, Note
from tracer.store import Store


class Observer:
    """Writes notes of one rank to a store."""

    def __init__(
        self, store: Store, rank: int, tensors: Mapping[str, Shape], params: Mapping[str, Shape]
    ) -> None:  # fmt: skip
        self._store = store
        self._rank = rank
        self._tensors = tensors
        self._params = params

    def add(self, notes: Sequence[Note]) -> None:
        """Notes in the order in which they were made."""
        self._store.add_moves(self._move(note) for note in notes if note[0] == "move")
        self._store.add_pads(pad for note in notes if note[0] == "pad" for pad in self._pads(note))

    def _move(
        self, note: Note
    ) -> tuple[int, str, str, str | int | None, str, str | None, Iterable[Box]]:  # fmt: skip
        _, tensor, param, row, shard, op, src_offset, sizes, src_strides, dst_offset, dst_strides = note
        src = View(src_offset, tuple(sizes), tuple(src_strides))
        dst = View(dst_offset, tuple(sizes), tuple(dst_strides))
        blocks: Iterable[Box] = ()
        if UNKNOWN not in (tensor, param):
            blocks = boxes(self._tensors[tensor], src, self._params[param], dst)
        return self._rank, tensor, row, shard, param, op, blocks

    def _pads(self, note: Note) -> Iterable[Padding]:
        _, param, value, reason, offset, sizes, strides = note
        for ranges in view_ranges(self._params[param], View(offset, tuple(sizes), tuple(strides))):
            yield Padding(self._rank, param, ranges, value, reason)
