"""Attention over the pages of a cache by the flash kernel that PyTorch ships, `torch.nn.attention.varlen`.

What the kernel cannot do, and what PyTorch has learnt when, stands in `supported`; engine/attention/choice.py asks it.
"""

from __future__ import annotations

import inspect
from functools import cache

import torch
from torch import Tensor

from engine.attention.backend import Heads
from engine.attention.batch import Pass
from engine.cache.tensors import KVCache

PAGE = 256
"""Tokens in a block must be a multiple of this: it is FlashAttention 2's page."""
ARGUMENTS = frozenset({"scale", "window_size", "enable_gqa", "seqused_k", "block_table", "num_splits"})
"""What `varlen_attn` must take besides the tensors; PyTorch 2.12 was the first with all of them."""


class Varlen:
    """All sequences of a pass in one call, whatever number of tokens each has; nothing waits for the device."""

    def __init__(self, batch: Pass, cache: KVCache) -> None:
        self._batch = batch
        self._cache = cache

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (tokens, heads, dim), k and v (tokens, kv heads, dim) -> (tokens, heads, dim); stores k and v first."""
        from torch.nn.attention.varlen import varlen_attn

        batch = self._batch
        self._cache.write(heads.layer, batch.slots, k, v)
        keys, values = self._cache.pages(heads.layer)
        # The kernel takes how many keys there are from seqused_k, yet refuses to go without cumulative counts as well.
        out = varlen_attn(
            q, keys, values, batch.starts, batch.starts, batch.most_queries, batch.most_keys,
            scale=heads.scale, window_size=window(heads, batch.most_queries),
            enable_gqa=heads.count != heads.kv_count, seqused_k=batch.lengths, block_table=batch.tables,
            num_splits=splits(heads, batch.most_queries),
        )  # fmt: skip
        assert isinstance(out, Tensor)
        return out

    def lengths(self, positions: Tensor) -> Tensor:
        """(tokens,) -> (tokens,) int64, as the pass says."""
        return self._batch.origins


def window(heads: Heads, most_queries: int) -> tuple[int, int]:
    """How many keys a query sees to its left and to its right, -1 for all.

    A single query is the last: nothing is to its right. Only if that is not forbidden does the kernel read a key once
    for all heads that share it.
    """
    if heads.window is not None:
        return heads.window - 1, 0
    return (-1, 0) if most_queries > 1 else (-1, -1)


def splits(heads: Heads, most_queries: int) -> int | None:
    """Among how many blocks of threads a sequence's keys may be divided; None for as many as the kernel likes.

    More than one is wrong in PyTorch's kernel (pytorch issue 194167: rows of all sequences but the first are not
    written) except where it treats the heads that share a key as queries.
    """
    return None if most_queries == 1 and heads.window is None and heads.count != heads.kv_count else 1


def supported(device: torch.device, dtype: torch.dtype, heads: Heads, size: int) -> bool:
    """Whether the kernel computes a layer: on this device, from a cache of this dtype with blocks of `size` tokens."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and size % PAGE == 0
        and heads.dim % 8 == 0
        and heads.dim <= 256
        and not heads.slopes
        and heads.softcap is None
        and heads.sinks is None
        and arguments() >= ARGUMENTS
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


@cache
def arguments() -> frozenset[str]:
    """Names of what the installed PyTorch's `varlen_attn` takes; none where there is no such function."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return frozenset()
    return frozenset(inspect.signature(varlen_attn).parameters)
