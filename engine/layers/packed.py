"""Matrices in the order in which oneDNN reads them: for CPUs, where an unordered one is read at half the speed.

To reorder them takes as long as a few passes, so it is for those who generate, not for a pass alone. PyTorch's own
compiler stores weights that way before it runs a model; the operators are the same, and are tried before they are
relied upon, as they are not part of PyTorch's documented interface.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.layers.linear_method import LinearMethod, Weights, unquantized
from engine.parallel import Methods

ROWS = 8
"""How many to expect, as the order depends on it. With 8 no number from 1 to 512 was slower than with its own."""

TYPES = torch.float32, torch.bfloat16, torch.float16
"""Those of activations. A processor may lack the instructions for one: `works` asks it."""


def packable(weight: Tensor) -> bool:
    """Whether `packed` can be used: with a weight of this type, on this device."""
    return weight.device.type == "cpu" and weight.dtype in TYPES and works(weight.dtype)


def packed(weight: Tensor) -> Tensor:
    """(outputs, inputs) -> the same, opaque to all but `multiply`."""
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return reordered


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, inputs) and what `packed` made of (outputs, inputs) -> (…, outputs). Raises RuntimeError."""
    try:
        product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    except RuntimeError:
        if x.shape[-1] == weight.shape[1]:
            raise
        return F.linear(x, weight.to_dense(), bias)  # raises in its turn, and names the shapes
    return product


@cache
def works(dtype: torch.dtype) -> bool:
    """Whether the installed PyTorch can do it on this processor, with weights of this type."""
    noise = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(size, generator=noise).to(dtype) for size in ((3, 40), (24, 40)))
    try:
        stored = packed(weight)
        out = multiply(x, stored, None)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return stored.is_mkldnn and torch.allclose(out.float(), F.linear(x.float(), weight.float()), rtol=0.02, atol=0.05)


class PackedLinear(LinearMethod):
    """One weight, in the type of the activations, packed where that can be done."""

    def loaded(self, weights: Weights) -> Weights:
        """Of packed experts each is a leaf of its own: `weight.0`, `weight.1`, ..."""
        weight = weights["weight"]
        if not packable(weight):
            return weights
        if weight.dim() == 2:
            return {**weights, "weight": packed(weight)}
        return {f"weight.{number}": packed(expert) for number, expert in enumerate(weight)}

    def apply(self, weights: Weights, x: Tensor, bias: Tensor | None) -> Tensor:
        weight = weights["weight"]
        return multiply(x, weight, bias) if weight.is_mkldnn else F.linear(x, weight, bias)

    def expert(self, weights: Weights, number: int) -> Weights:
        if "weight" in weights:
            return super().expert(weights, number)
        return {"weight": weights[f"weight.{number}"]}


PACKED = PackedLinear()


def fastest(device: str) -> Methods:
    """How those who generate on a device keep their matrices, unless these are quantised."""
    return packing if torch.device(device).type == "cpu" else unquantized


def packing(prefix: str) -> LinearMethod:
    """All layers alike."""
    return PACKED
