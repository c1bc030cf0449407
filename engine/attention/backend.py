"""What a layer asks of attention, and the signature that every backend has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention of one layer on one rank: everything that does not change from pass to pass."""

    layer: int
    count: int
    kv_count: int
    """Query heads `i * count / kv_count ..` share the key and value of head i."""
    dim: int
    scale: float
    window: int | None = None
    """How many keys a query sees, its own included; None for all."""
    slopes: tuple[float, ...] = ()
    """ALiBi: each head's penalty for a step of distance; empty for none."""
    softcap: float | None = None
    """Scores s, scaled but without ALiBi's penalty, become softcap * tanh(s / softcap) (Gemma 2)."""
    sinks: Tensor | None = field(default=None, compare=False)
    """(heads,): a score for each head that takes its share of the softmax and brings no value (gpt-oss)."""


class Attention(Protocol):
    """Attention over the tokens of one forward pass, and whatever they may look back at.

    An object is made for a pass: it knows which tokens belong to which sequence, and where earlier keys are.
    """

    def __call__(self, heads: Heads, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (tokens, heads, dim), k and v (tokens, kv heads, dim) -> (tokens, heads, dim)."""

    def lengths(self, positions: Tensor) -> Tensor:
        """(tokens,) int64 -> (tokens,) int64: how long each token's sequence was when the token came.

        For a token of a prompt that is the prompt's length, for a generated one its position + 1.
        """
