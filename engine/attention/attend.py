"""Attention over keys that lie side by side: PyTorch's function where it can, the definition where it cannot."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.attention.backend import Heads
from engine.attention.sight import spelled_out

ROOM = 1 << 24
"""How many scores exist at once where they are spelled out."""


def attend(heads: Heads, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """q (batch, heads, queries, dim), k and v (batch, kv heads, keys, dim) -> as q.

    `bias`, (batch or 1, heads or 1, queries, keys), is added to the scores. Without one a single query sees all keys;
    of several, the last sees all and the one before it all but one (there are as many keys as queries then).
    """
    if q.shape[2] == 1:
        return step(heads, q[:, :, 0], k, v, bias)[:, :, None]
    if spelled_out(heads):
        assert bias is not None, "several queries need a bias that hides what comes after them"
        return _defined(heads, q, k, v, bias)
    if _converted(q):
        return attend(heads, q.float(), k.float(), v.float(), None if bias is None else bias.float()).half()
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=bias, is_causal=bias is None, scale=heads.scale, enable_gqa=heads.count != heads.kv_count
    )  # fmt: skip


def step(heads: Heads, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """A query for each sequence, q (batch, heads, dim) -> as q; the rest as for `attend`."""
    if spelled_out(heads):
        return _defined(heads, q[:, :, None], k, v, q.new_zeros(1, 1, 1, 1) if bias is None else bias)[:, :, 0]
    if _converted(q):
        return step(heads, q.float(), k.float(), v.float(), None if bias is None else bias.float()).half()
    # Heads that share a key become queries of one head, which reads each key once.
    rows = q.view(len(q), heads.kv_count, -1, heads.dim)
    mask = bias if bias is None or bias.shape[1] == 1 else bias.view(len(bias), heads.kv_count, rows.shape[2], -1)
    if heads.count > heads.kv_count or q.dtype != torch.bfloat16 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(rows, k, v, attn_mask=mask, scale=heads.scale).reshape(q.shape)
    # A CPU multiplies two rows of bfloat16 in a quarter of the time of one, if they are two in memory as well.
    twice = F.scaled_dot_product_attention(rows.repeat(1, 1, 2, 1), k, v, attn_mask=mask, scale=heads.scale)
    return twice[:, :, 0]


def _converted(q: Tensor) -> bool:
    """Whether to compute in float32: a CPU multiplies in float16 far slower than it converts it."""
    return q.dtype == torch.float16 and q.device.type == "cpu"


def _defined(heads: Heads, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """In float32 at least, a slice of the queries at a time."""
    wide = torch.promote_types(q.dtype, torch.float32)
    keys, values = k.to(wide).mT, v.to(wide)
    rows = max(1, ROOM // (q.shape[0] * heads.count * k.shape[2]))
    slices = zip(q.to(wide).split(rows, 2), bias.split(rows, 2), strict=True)
    return torch.cat([_slice(heads, some, keys, values, added) for some, added in slices], 2).to(q.dtype)


def _slice(heads: Heads, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """`keys` are transposed: (batch, kv heads, dim, keys)."""
    batch, _, queries, dim = q.shape
    shared = q.reshape(batch, heads.kv_count, -1, dim)
    weights = _weights(heads, (shared @ keys).view(batch, heads.count, queries, -1), bias)
    return (weights.view(batch, heads.kv_count, shared.shape[2], -1) @ values).view(q.shape)


def _weights(heads: Heads, products: Tensor, bias: Tensor) -> Tensor:
    """Softmax over the last axis, after scale, cap and bias, and with the sinks' share in the sum."""
    scores = products * heads.scale
    if heads.softcap is not None:
        scores = torch.tanh(scores / heads.softcap) * heads.softcap
    scores = scores + bias
    total = scores.logsumexp(-1, keepdim=True)
    if heads.sinks is not None:
        total = torch.logaddexp(total, heads.sinks.to(total.dtype)[:, None, None])
    return (scores - total).exp()
