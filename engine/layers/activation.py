"""Activations by the names that config.json gives them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import pi, sqrt
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation: TypeAlias = Callable[[Tensor], Tensor]


def gelu_new(x: Tensor) -> Tensor:
    """The tanh approximation of GELU as GPT-2 spells it (Hendrycks & Gimpel 2016)."""
    return 0.5 * x * (1.0 + torch.tanh(sqrt(2.0 / pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def gelu_bloom(x: Tensor) -> Tensor:
    """The same with sqrt(2/pi) cut to eight digits, as in Megatron and hence in BLOOM's training."""
    return x * 0.5 * (1.0 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x)))


BY_NAME: dict[str, Activation] = {
    "silu": F.silu, "swish": F.silu, "relu": F.relu, "gelu": F.gelu, "gelu_new": gelu_new,
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
}  # fmt: skip


def activation(name: str) -> Activation:
    """Raises ValueError for a name nobody has implemented here."""
    if name not in BY_NAME:
        raise ValueError(f"config.json: activation {name!r} is not one of {', '.join(sorted(BY_NAME))}")
    return BY_NAME[name]


class SiluAndMul(nn.Module):
    """(…, gate and up side by side) -> silu(gate) * up: SwiGLU (Shazeer 2020)."""

    def forward(self, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)


class ActAndMul(nn.Module):
    """The same with another activation in the place of SiLU."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.act = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return self.act(gate) * up


def act_and_mul(name: str) -> nn.Module:
    """Raises ValueError for a name nobody has implemented here."""
    return SiluAndMul() if BY_NAME.get(name) is F.silu else ActAndMul(name)
