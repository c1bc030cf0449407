"""Rotary embeddings: each pair of a head's dimensions is turned by an angle that grows with the position.

The pairs are (i, i + half), as in the Hugging Face layout of Llama's weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from engine.layers.rope import BY_LENGTH, Rope, amplitude, frequencies


class Rotation(NamedTuple):
    """The turns of one forward pass, shared by its layers."""

    cos: Tensor
    """(tokens, 1, width), every pair's value twice; likewise `sin`."""
    sin: Tensor

    def turn(self, x: Tensor) -> Tensor:
        """(tokens, heads, dim) -> the same shape; dimensions beyond `width` stay as they are."""
        width = self.cos.shape[-1]
        turned, rest = x[..., :width], x[..., width:]
        half = torch.cat((-turned[..., width // 2 :], turned[..., : width // 2]), dim=-1)
        turned = turned * self.cos + half * self.sin
        return turned if rest.shape[-1] == 0 else torch.cat((turned, rest), dim=-1)


class Rotary:
    """Makes the rotation of a pass. No module: it has no parameters, and frequencies are made on demand."""

    def __init__(self, rope: Rope) -> None:
        self.rope = rope
        self.amplitude = amplitude(rope)
        self._made: dict[torch.device, Tensor] = {}

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        """(tokens,) -> the rotation for activations of `dtype`; angles are float32."""
        angles = positions[:, None].float() * self._frequencies(positions)
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return Rotation(
            (angles.cos() * self.amplitude).to(dtype), (angles.sin() * self.amplitude).to(dtype)
        )  # fmt: skip

    def _frequencies(self, positions: Tensor) -> Tensor:
        if self.rope.kind in BY_LENGTH:
            return frequencies(self.rope, int(positions.max()) + 1).to(positions.device)
        if positions.device not in self._made:
            self._made[positions.device] = frequencies(self.rope, 0).to(positions.device)
        return self._made[positions.device]
