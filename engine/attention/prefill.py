"""One sequence that goes on by several tokens: its prompt, or a chunk of it."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.attention.backend import Heads
from engine.attention.sdpa import alone, causal_bias
from engine.attention.sight import Kind, Sight, fetch, in_one_piece, kind, slots


class Prefill:
    """Keys from the cache, or those of the pass itself where there are no earlier ones."""

    def __init__(self, table: Tensor, start: int, stop: int, size: int) -> None:
        """Its block table (blocks,), positions of the pass, tokens in a block."""
        self._table = table.long()
        self._start = start
        self._stop = stop
        self._size = size
        self._sights: dict[Kind, Sight] = {}

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """q, k, v of this sequence (tokens, .., dim), keys and values of the whole cache (slots, ..) -> as q."""
        of = kind(heads, self._stop)
        sight = self._sights.get(of) or self._sights.setdefault(of, self._sight(heads, of, q))
        if sight.slots is not None:
            k, v = fetch(keys, sight.slots), fetch(values, sight.slots)
        return alone(heads, q, k, v, sight.bias)

    def _sight(self, heads: Heads, of: Kind, q: Tensor) -> Sight:
        """No key is fetched that not even the first query sees."""
        first = max(0, self._start + 1 - of.window) if of.window else 0
        where = None
        if self._start:
            places = torch.arange(first, self._stop, device=q.device)[None]
            where = in_one_piece(slots(self._table[None], places, self._size)[0])
        return Sight(where, causal_bias(heads, self._start, self._stop, first, q))
