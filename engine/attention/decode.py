"""Sequences that go on by one token each, many in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from engine.attention.attend import step
from engine.attention.backend import Heads
from engine.attention.sight import Kind, Sight, bias, fetch, in_one_piece, kind, slots

ROOM = {"cpu": 1 << 21}
"""How many numbers of keys are gathered for one call, by kind of device: on a CPU what its caches hold."""
ROOM_ELSEWHERE = 1 << 27


class Group(NamedTuple):
    """Sequences that one call computes."""

    rows: Tensor | None
    """Which, (sequences,) int64; None for all, in order."""
    sight: Sight


class Decode:
    """Gathers their keys, in tensors as wide as the longest of a group needs, and hides what pads the others."""

    def __init__(self, tables: Tensor, lengths: list[int], size: int) -> None:
        """Block tables (sequences, blocks), keys of each sequence, tokens in a block."""
        self._tables = tables.long()
        self._lengths = lengths
        self._size = size
        self._groups: dict[Kind, list[Group]] = {}

    def __call__(self, heads: Heads, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """q (sequences, heads, dim), keys and values of the whole cache (slots, kv heads, dim) -> as q."""
        of = kind(heads, max(self._lengths))
        if of not in self._groups:
            self._groups[of] = list(self._made(heads, of, q.dtype))
        out = torch.empty_like(q)
        for rows, sight in self._groups[of]:
            if rows is None:
                return _step(heads, q, sight, keys, values)
            out[rows] = _step(heads, q[rows], sight, keys, values)
        return out

    def _made(self, heads: Heads, of: Kind, dtype: torch.dtype) -> Iterator[Group]:
        """All sequences at once if there is room, else the longest first, so that neighbours differ little."""
        counts = [min(length, of.window or length) for length in self._lengths]
        room = ROOM.get(self._tables.device.type, ROOM_ELSEWHERE) // of.width
        if len(counts) * max(counts) <= room:
            yield Group(None, self._sight(heads, self._tables, self._lengths, counts, dtype))
            return
        order = sorted(range(len(counts)), key=counts.__getitem__, reverse=True)
        while order:
            most = max(1, room // counts[order[0]])
            rows, order = order[:most], order[most:]
            lengths, own = [self._lengths[row] for row in rows], [counts[row] for row in rows]
            which = torch.tensor(rows, device=self._tables.device)
            yield Group(which, self._sight(heads, self._tables[which], lengths, own, dtype))

    def _sight(
        self, heads: Heads, tables: Tensor, lengths: list[int], counts: list[int], dtype: torch.dtype
    ) -> Sight:  # fmt: skip
        """The last `counts` keys of sequences of these `lengths`."""
        ends = torch.tensor(lengths, device=tables.device)[:, None]
        first = ends - torch.tensor(counts, device=tables.device)[:, None]
        places = first + torch.arange(max(counts), device=tables.device)
        # Padding repeats the sequence's own last key: what other slots hold may be anything, NaN too.
        where = slots(tables, places.minimum(ends - 1), self._size).flatten()
        padded = min(counts) < max(counts)
        added = bias(heads, ends - 1, places, dtype) if padded or heads.slopes else None
        return Sight(in_one_piece(where) if len(counts) == 1 else where, added)


def _step(heads: Heads, q: Tensor, sight: Sight, keys: Tensor, values: Tensor) -> Tensor:
    """q (sequences, heads, dim) -> as q."""
    assert sight.slots is not None
    shape = len(q), -1, heads.kv_count, heads.dim
    k, v = (fetch(x, sight.slots).view(shape).transpose(1, 2) for x in (keys, values))
    return step(heads, q, k, v, sight.bias)
