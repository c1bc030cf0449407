"""Matrices in the order in which oneDNN reads them: for CPUs, where an unordered one is read at half the speed.

PyTorch's own compiler stores weights that way before it runs a model; the operators are the same, and are tried before
they are relied upon, as they are not part of PyTorch's documented interface.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 8
"""How many to expect, as the order depends on it. With 8 no number from 1 to 512 was slower than with its own."""


def packable(weight: Tensor) -> bool:
    """Whether `packed` can be used: with a weight of this type, on this device."""
    return weight.device.type == "cpu" and works(weight.dtype)


def packed(weight: Tensor) -> Tensor:
    """(outputs, inputs) -> the same, opaque to all but `multiply`."""
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return reordered


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, inputs) and what `packed` made of (outputs, inputs) -> (…, outputs). Raises RuntimeError."""
    try:
        product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    except RuntimeError:  # which does not say what it is about; the plain product names the shapes
        return F.linear(x, weight.to_dense(), bias)
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
