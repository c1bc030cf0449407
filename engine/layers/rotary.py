"""Rotary embeddings: each pair of a head's dimensions is turned by an angle that grows with the position.

The pairs are (i, i + half), as in the Hugging Face layout of Llama's weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from engine.layers.rope import BY_LENGTH, Rope, amplitude, frequencies

Lengths: TypeAlias = Callable[[Tensor], Tensor]
"""`Attention.lengths`: from positions to how long each token's sequence was when it came, both (tokens,) int64."""


class Rotation(NamedTuple):
    """The turns of one forward pass, shared by its layers."""

    cos: Tensor
    """(tokens, 1, width), every pair's value twice."""
    sin: Tensor
    """(tokens, 1, width), every pair's value twice, the first time negative."""

    def turn(self, x: Tensor) -> Tensor:
        """(tokens, heads, dim) -> the same shape; dimensions beyond `width` stay as they are."""
        width = self.cos.shape[-1]
        if x.shape[-1] == width:
            return self._turned(x)
        return torch.cat((self._turned(x[..., :width]), x[..., width:]), dim=-1)

    def _turned(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return torch.addcmul(x * self.cos, torch.cat((second, first), dim=-1), self.sin)


class Rotary:
    """Makes the rotation of a pass. No module: it has no parameters, and frequencies are made on demand."""

    def __init__(self, rope: Rope) -> None:
        self.rope = rope
        self.amplitude = amplitude(rope)
        self._made: dict[torch.device, Tensor] = {}

    def __call__(self, positions: Tensor, dtype: torch.dtype, lengths: Lengths) -> Rotation:
        """(tokens,) -> the rotation for activations of `dtype`; angles are float32.

        `lengths` is asked only where frequencies depend on it; then the host waits for the answer.
        """
        by_length = self.rope.kind in BY_LENGTH
        own = self._by_length(lengths(positions)) if by_length else self._fixed(positions.device)
        angles = positions[:, None].float() * own
        cos, sin = angles.cos() * self.amplitude, angles.sin() * self.amplitude
        return Rotation(
            torch.cat((cos, cos), dim=-1)[:, None].to(dtype), torch.cat((-sin, sin), dim=-1)[:, None].to(dtype)
        )  # fmt: skip

    def _fixed(self, device: torch.device) -> Tensor:
        """(width / 2,)."""
        if device not in self._made:
            self._made[device] = frequencies(self.rope, 0).to(device)
        return self._made[device]

    def _by_length(self, lengths: Tensor) -> Tensor:
        """Each token's own, (tokens, width / 2): made once for all tokens of sequences of a length."""
        distinct, which = lengths.unique(return_inverse=True)
        made = torch.stack([frequencies(self.rope, length) for length in distinct.tolist()])
        return made.to(lengths.device)[which]
