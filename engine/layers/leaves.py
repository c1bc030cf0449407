"""The base of every layer with weights: a module whose parameters are the leaves of one `Param`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import nn

from mappings.params import Param

if TYPE_CHECKING:
    from engine.parallel import TensorParallel


def leaves(param: Param, tp: TensorParallel) -> dict[str, nn.Parameter]:
    """This rank's parameters for every leaf that exists: `weight`, `bias`, a scheme's scales; not filled yet.

    Raises LookupError if the architecture has no such parameter.
    """
    names = [leaf.leaf for leaf in tp.binding.leaves if leaf.param.name == param.name]
    if "weight" not in names:
        raise LookupError(f"{tp.binding.arch.id} has no parameter {param.leaf_name('weight')}")
    return {name: found for name in names if (found := tp.parameter(param, name)) is not None}


class Leaves(nn.Module):
    """`weight`, and `bias` where it exists.

    `prefix` is where the layer sits in the model: `model.layers.3.self_attn.qkv_proj`, and with the leaf's name behind
    it, it is the parameter's name in the model and in the plan. Raises LookupError as `leaves` does.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self, param: Param, tp: TensorParallel, prefix: str,
        create: Callable[[Param, TensorParallel], Mapping[str, nn.Parameter]] = leaves,
    ) -> None:  # fmt: skip
        super().__init__()
        self.prefix = prefix
        self.register_parameter("bias", None)
        for leaf, parameter in create(param, tp).items():
            self.register_parameter(leaf, parameter)


def under(prefix: str, name: str) -> str:
    """Where `name` sits, inside what sits at `prefix`; the outermost model sits nowhere."""
    return f"{prefix}.{name}" if prefix else name
