"""Causal attention over one whole sequence, without a cache."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.attention.attend import attend
from engine.attention.backend import Heads
from engine.attention.sight import bias, kind


class WholeSequence:
    """The tokens of the pass are one sequence from its beginning, in order."""

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (tokens, heads, dim), k and v (tokens, kv heads, dim) -> (tokens, heads, dim)."""
        return alone(heads, q, k, v, causal_bias(heads, 0, q.shape[0], 0, q))

    def lengths(self, positions: Tensor) -> Tensor:
        """(tokens,) -> (tokens,): all tokens were there from the beginning."""
        return (positions.max() + 1).expand_as(positions)


WHOLE_SEQUENCE = WholeSequence()


def causal_bias(heads: Heads, start: int, stop: int, first: int, like: Tensor) -> Tensor | None:
    """For queries at positions start..stop and keys at first..stop; None where `attend` needs none."""
    window, slopes, spelled_out, _ = kind(heads, stop)
    if start == first and not (window or slopes or spelled_out):
        return None
    places = torch.arange(first, stop, device=like.device)[None]
    return bias(heads, places[:, start - first :], places, like.dtype)


def alone(heads: Heads, q: Tensor, k: Tensor, v: Tensor, added: Tensor | None) -> Tensor:
    """The last tokens of one sequence: q (queries, heads, dim), k and v (keys, kv heads, dim) -> as q."""
    query, key, value = (x.transpose(0, 1)[None] for x in (q, k, v))
    return attend(heads, query, key, value, added)[0].transpose(0, 1)
