"""Normalisation over the last dimension, computed in float32 at least."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from engine.layers.leaves import Leaves
from engine.parallel import TensorParallel
from mappings.params import Param


class RMSNorm(Leaves):
    """x / rms(x), times the weight (Zhang & Sennrich 2019); rounded to the type of x once, at the end."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str, eps: float) -> None:
        super().__init__(param, tp, prefix)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class LayerNorm(Leaves):
    """(x - mean) / deviation, times the weight, plus the bias (Ba et al. 2016)."""

    def __init__(self, param: Param, tp: TensorParallel, prefix: str, eps: float) -> None:
        super().__init__(param, tp, prefix)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
