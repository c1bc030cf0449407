"""Where keys and values of earlier tokens are kept: for each layer with attention, numbered blocks of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.attention.backend import Heads


def bytes_per_block(heads: Sequence[Heads], size: int, dtype: torch.dtype) -> int:
    """What one block of `size` tokens takes in all layers; 0 for a model without attention."""
    return sum(2 * size * each.kv_count * each.dim * dtype.itemsize for each in heads)


class KVCache:
    """For each layer keys and values (blocks, size, kv heads, dim). Token o of block b has slot b * size + o."""

    def __init__(
        self, heads: Sequence[Heads], blocks: int, size: int, dtype: torch.dtype, device: str | torch.device = "cpu"
    ) -> None:  # fmt: skip
        """Layers may differ in heads and dim; there may be none. Zeroed, which on a CPU touches no memory yet."""
        self.heads = tuple(heads)
        self.blocks = blocks
        self.size = size
        self.dtype = dtype
        self._pages = {
            each.layer: torch.zeros((2, blocks, size, each.kv_count, each.dim), dtype=dtype, device=device)
            for each in heads
        }
        self._flat = {layer: tuple(both.flatten(1, 2)) for layer, both in self._pages.items()}

    def pages(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, (blocks, size, kv heads, dim)."""
        keys, values = self._pages[layer]
        return keys, values

    def flat(self, layer: int) -> tuple[Tensor, Tensor]:
        """The same memory by slot, (blocks * size, kv heads, dim)."""
        keys, values = self._flat[layer]
        return keys, values

    def write(self, layer: int, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Store k and v (tokens, kv heads, dim) at `slots` (tokens,) int64, no two of which are the same."""
        keys, values = self._flat[layer]
        keys.index_copy_(0, slots, k)
        values.index_copy_(0, slots, v)
