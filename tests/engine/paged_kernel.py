"""PyTorch's paged kernel by its documentation, and another in the place of the installed one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import varlen as upstream

from engine.attention.varlen import arguments

Kernel = Callable[..., Tensor]


def as_documented(
    q: Tensor, k: Tensor, v: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *, scale: float,
    window_size: tuple[int, int], enable_gqa: bool, seqused_k: Tensor, block_table: Tensor, num_splits: int | None,
) -> Tensor:  # fmt: skip
    """PyTorch's paged kernel by its documentation and by what its C++ insists on, its known fault included."""
    assert {x.dtype for x in (cu_seq_q, cu_seq_k, seqused_k, block_table)} == {torch.int32}
    assert block_table.stride(-1) == seqused_k.stride(0) == cu_seq_q.stride(0) == 1
    kv_count, group = k.shape[2], q.shape[1] // k.shape[2]
    assert enable_gqa or group == 1
    out = torch.full_like(q, float("nan"))
    for place, (start, stop) in enumerate(pairwise(cu_seq_q.tolist())):
        used = int(seqused_k[place])
        assert stop - start <= max_q and used <= max_k
        own, other = (x[block_table[place].long()].flatten(0, 1)[:used].repeat_interleave(group, 1) for x in (k, v))
        distance = torch.arange(used - (stop - start), used)[:, None] - torch.arange(used)
        left, right = window_size
        hidden = (distance < -right if right >= 0 else distance < -used) | (distance > left if left >= 0 else False)
        scores = torch.einsum("qhd,khd->hqk", q[start:stop], own) * scale
        out[start:stop] = torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), other)
    queries_of_one_head = max_q == 1 and group > 1 and window_size == (-1, -1)
    if num_splits != 1 and not queries_of_one_head:  # pytorch issue 194167
        out[cu_seq_q[1] :] = float("nan")
    assert kv_count * group == q.shape[1]
    return out


@contextmanager
def replaced(kernel: Kernel) -> Iterator[None]:
    """Another in the place of PyTorch's kernel, called only as the installed one can be."""
    signature = inspect.signature(upstream.varlen_attn)

    def double(*args: Any, **options: Any) -> Tensor:
        signature.bind(*args, **options)
        return kernel(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, "varlen_attn", double)
        yield


NEEDS_PAGED = pytest.mark.skipif(
    "block_table" not in arguments(), reason="the installed PyTorch has no paged attention"
)
