"""Normalisation over the last dimension, computed in float32 at least."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.layers.leaves import Leaves
from engine.parallel import TensorParallel
from mappings.params import Param


class RMSNorm(Leaves):
    """x / rms(x), rounded to the type of x as in Llama, times the weight (Zhang & Sennrich 2019)."""

    def __init__(self, param: Param, tp: TensorParallel, eps: float) -> None:
        super().__init__(param, tp)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * (wide * scale).to(x.dtype)


class LayerNorm(Leaves):
    """(x - mean) / deviation, times the weight, plus the bias (Ba et al. 2016)."""

    def __init__(self, param: Param, tp: TensorParallel, eps: float) -> None:
        super().__init__(param, tp)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
