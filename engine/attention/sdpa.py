"""Causal attention over one whole sequence, without a cache."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.attention.backend import Heads


class WholeSequence:
    """The tokens of the pass are one sequence from its beginning, in order."""

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (tokens, heads, dim), k and v (tokens, kv heads, dim) -> (tokens, heads, dim)."""
        mask = _bias(heads, q) if heads.window or heads.slopes else None
        out = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None], k.transpose(0, 1)[None], v.transpose(0, 1)[None], attn_mask=mask,
            is_causal=mask is None, scale=heads.scale, enable_gqa=heads.count != heads.kv_count,
        )  # fmt: skip
        return out[0].transpose(0, 1)


WHOLE_SEQUENCE = WholeSequence()


def _bias(heads: Heads, q: Tensor) -> Tensor:
    """What is added to the scores, (heads or 1, tokens, tokens): -inf out of sight, else ALiBi's penalty."""
    place = torch.arange(q.shape[0], device=q.device)
    distance = place[:, None] - place
    hidden = distance < 0
    if heads.window:
        hidden = hidden | (distance >= heads.window)
    slopes = torch.tensor(heads.slopes or (0.0,), dtype=q.dtype, device=q.device)
    return (-slopes[:, None, None] * distance).masked_fill(hidden, float("-inf"))
