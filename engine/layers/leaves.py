"""The base of every layer with weights: a module whose parameters are the leaves of one `Param`."""

from __future__ import annotations

from torch import nn

from engine.parallel import TensorParallel
from mappings.params import Param


def leaves(param: Param, tp: TensorParallel) -> dict[str, nn.Parameter]:
    """This rank's parameters for every leaf that exists: `weight`, `bias`, a scheme's scales."""
    names = [leaf.leaf for leaf in tp.binding.leaves if leaf.param.name == param.name]
    return {name: found for name in names if (found := tp.parameter(param, name)) is not None}


class Leaves(nn.Module):
    """`weight`, and `bias` where it exists. Raises LookupError if the architecture has no such parameter."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, param: Param, tp: TensorParallel) -> None:
        super().__init__()
        found = leaves(param, tp)
        if "weight" not in found:
            raise LookupError(f"{tp.binding.arch.id} has no parameter {param.leaf_name('weight')}")
        self.register_parameter("bias", None)
        for leaf, parameter in found.items():
            self.register_parameter(leaf, parameter)
