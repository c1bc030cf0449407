"""Which backend computes a model's attention."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import torch

from engine.attention.backend import Heads
from engine.attention.batch import make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.varlen import PAGE, Varlen, supported
from engine.cache.tensors import KVCache
from engine.parallel import ALONE, Group, from_all

Backend: TypeAlias = type[PagedSdpa] | type[Varlen]
"""Made for each pass: `backend(batch, cache)`."""
TOLERANCE = 0.03
"""Between two backends in half precision, of numbers whose spread is about 0.1 to 1."""
TRIAL = ((0, 700), (0, 2)), ((700, 1100), (2, 300)), ((1100, 1101), (300, 310)), ((1101, 1102), (310, 311))
"""Two sequences in four passes, first and last position: prompts, chunks, a mixture, and a step of both."""
TABLES = [3, 1, 4, 11, 5], [9, 2, 6, 0, 8]


def choose(
    device: str | torch.device, dtype: torch.dtype, heads: Sequence[Heads], size: int, group: Group = ALONE
) -> Backend:  # fmt: skip
    """PyTorch's paged kernel where it computes every layer and is seen to work, on all ranks of a group; else SDPA.

    `dtype` and `size` (tokens in a block) are those of the cache. The ranks ask together, and get the same: blocks and
    recordings depend on it.
    """
    device = torch.device(device)
    fit = bool(heads) and all(supported(device, dtype, each, size) for each in heads) and works(device, dtype)
    return Varlen if all(fits for (fits,) in from_all([fit], group, device)) else PagedSdpa


def block_size(
    device: str | torch.device, dtype: torch.dtype, heads: Sequence[Heads], group: Group = ALONE
) -> int:  # fmt: skip
    """Tokens in a block: few, so that prompts share more of them, unless the fastest backend wants many."""
    return PAGE if choose(device, dtype, heads, PAGE, group) is Varlen else 16


def one_kind(device: str | torch.device, group: Group = ALONE) -> bool:
    """Whether the GPUs of all ranks can do the same, so that the same kernels are chosen for them everywhere."""
    major, minor = torch.cuda.get_device_capability(device)
    every = from_all([major, minor], group, device)
    return all(each == every[0] for each in every)


@cache
def works(device: torch.device, dtype: torch.dtype) -> bool:
    """Try the paged kernel once: versions of PyTorch differ in what it accepts, and some compute it wrongly."""
    try:
        return all(_agree(each, device, dtype) for each in (Heads(0, 8, 2, 64, 0.125), Heads(0, 8, 2, 64, 0.125, 300)))
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False


def _agree(heads: Heads, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether both backends give the same, pass after pass, each with a cache of its own."""
    noise = torch.Generator().manual_seed(0)
    caches = [KVCache([heads], 12, PAGE, dtype, device) for _ in range(2)]
    for spans in TRIAL:
        parts = [(start, stop, table, stop) for (start, stop), table in zip(spans, TABLES, strict=True)]
        batch = make_pass(parts, PAGE, device)
        q, k, v = (
            torch.randn(len(batch.slots), count, heads.dim, generator=noise).to(device, dtype)
            for count in (heads.count, heads.kv_count, heads.kv_count)
        )
        ours, theirs = PagedSdpa(batch, caches[0])(heads, q, k, v), Varlen(batch, caches[1])(heads, q, k, v)
        if not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
            return False
    return True
