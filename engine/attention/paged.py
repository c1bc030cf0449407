"""Attention over the pages of a cache by scaled_dot_product_attention: for CPUs, and where nothing faster works."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from engine.attention.backend import Heads
from engine.attention.batch import Pass
from engine.attention.decode import Decode
from engine.attention.prefill import Prefill
from engine.cache.tensors import KVCache


class PagedSdpa:
    """Sequences with one token in the pass are computed together, the others one by one.

    On a GPU the first layer waits for the device once, as the shapes of the gathered keys must be known.
    """

    def __init__(self, batch: Pass, cache: KVCache) -> None:
        self._batch = batch
        self._cache = cache
        starts, lengths = batch.starts.tolist(), batch.lengths.tolist()
        counts = [stop - start for start, stop in pairwise(starts)]
        steps = [place for place, count in enumerate(counts) if count == 1]
        self._chunks = [
            (slice(starts[place], starts[place + 1]),
             Prefill(batch.tables[place], lengths[place] - count, lengths[place], cache.size))
            for place, count in enumerate(counts) if count > 1
        ]  # fmt: skip
        tables = batch.tables if not self._chunks else batch.tables[steps]
        self._decode = Decode(tables, [lengths[place] for place in steps], cache.size) if steps else None
        self._rows = torch.tensor([starts[place] for place in steps], device=batch.slots.device)

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (tokens, heads, dim), k and v (tokens, kv heads, dim) -> (tokens, heads, dim); stores k and v first."""
        self._cache.write(heads.layer, self._batch.slots, k, v)
        keys, values = self._cache.flat(heads.layer)
        if self._decode is not None and not self._chunks:
            return self._decode(heads, q, keys, values)
        if self._decode is None and len(self._chunks) == 1:
            return self._chunks[0][1](heads, q, k, v, keys, values)
        out = torch.empty_like(q)
        for own, chunk in self._chunks:
            out[own] = chunk(heads, q[own], k[own], v[own], keys, values)
        if self._decode is not None:
            out[self._rows] = self._decode(heads, q[self._rows], keys, values)
        return out

    def lengths(self, positions: Tensor) -> Tensor:
        """(tokens,) -> (tokens,) int64, as the pass says."""
        return self._batch.origins
