"""How a layer keeps its matrix and multiplies with it, apart from which layer it is: one method a way of storing.

A model hands its layers their `tp`, and `tp.linear_method(prefix)` says which method the layer of that name computes
with. So storage can change, or differ from layer to layer, and no model knows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.layers.leaves import leaves

if TYPE_CHECKING:
    from engine.parallel import TensorParallel
    from mappings.params import Param

Weights: TypeAlias = Mapping[str, Tensor]
"""The leaves of one matrix, without the bias: `weight` (outputs, inputs), a scheme's scales."""


class LinearMethod(ABC):
    """One way of keeping a matrix. It has no state: one object serves all layers."""

    def create(self, param: Param, tp: TensorParallel) -> dict[str, nn.Parameter]:
        """What the loader is to fill, by leaf: unless overridden, all leaves that the plan has."""
        return leaves(param, tp)

    def loaded(self, weights: Weights) -> Weights:
        """The leaves as `apply` and `experts` want them, once they are filled: packed, rounded, or as they are.

        Those of experts have one dimension more, the experts, in front.
        """
        return weights

    @abstractmethod
    def apply(self, weights: Weights, x: Tensor, bias: Tensor | None) -> Tensor:
        """(…, inputs) -> (…, outputs) in the type of x; `bias` (outputs,) is added."""

    def experts(self, weights: Weights, x: Tensor, ends: Tensor) -> Tensor:
        """Rows (rows, inputs), sorted by expert -> (rows, outputs), each through its own expert's matrix.

        `ends` (experts,) int32: where each expert's rows end. Unless overridden, one `apply` an expert that has rows.
        """
        return torch.cat([self.apply(self.expert(weights, number), x[rows], None) for number, rows in _busy(ends)])

    def expert(self, weights: Weights, number: int) -> Weights:
        """One expert's leaves."""
        return {leaf: stack[number] for leaf, stack in weights.items()}


def _busy(ends: Tensor) -> Iterator[tuple[int, slice]]:
    """The experts that have rows, and which."""
    start = 0
    for expert, end in enumerate(ends.tolist()):
        if end > start:
            yield expert, slice(start, end)
        start = end


class UnquantizedLinear(LinearMethod):
    """One weight, in the type of the activations."""

    def apply(self, weights: Weights, x: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weights["weight"], bias)

    def experts(self, weights: Weights, x: Tensor, ends: Tensor) -> Tensor:
        weight = weights["weight"]
        return grouped(weight, x, ends) if x.is_cuda and groupable(weight) else super().experts(weights, x, ends)


def groupable(weight: Tensor) -> bool:
    """Whether `grouped` has a kernel for these experts: of bfloat16, with rows of whole 16 bytes, in a newer torch."""
    aligned = all(size * weight.itemsize % 16 == 0 for size in weight.shape[1:])
    return aligned and weight.dtype is torch.bfloat16 and hasattr(F, "grouped_mm")


def grouped(weight: Tensor, x: Tensor, ends: Tensor) -> Tensor:
    """`LinearMethod.experts` in one kernel. Nothing waits for the GPU to say which experts have rows."""
    return F.grouped_mm(x, weight.transpose(1, 2), offs=ends)


UNQUANTIZED = UnquantizedLinear()


def unquantized(prefix: str) -> LinearMethod:
    """The choice of those who choose nothing."""
    return UNQUANTIZED


@runtime_checkable
class Computing(Protocol):
    """A layer that computes by a method."""

    def weights_loaded(self) -> None:
        """Have the method bring the layer's leaves to its form."""


def weights_loaded(model: nn.Module) -> None:
    """Call it when the parameters are filled, before the first pass: every method brings its leaves to its form.

    The parameters that a method replaces are gone from the model afterwards, and their memory with them.
    """
    for module in model.modules():
        if isinstance(module, Computing):
            module.weights_loaded()


def in_form(layer: nn.Module, method: LinearMethod, weights: Weights) -> Weights:
    """The leaves of one matrix in the method's form; the layer lets go of those that are not used any more."""
    ready = method.loaded(weights)
    kept = {id(leaf) for leaf in ready.values()}
    replaced = {id(leaf) for leaf in weights.values()} - kept
    for name, param in list(layer.named_parameters(recurse=False)):
        if id(param) in replaced:
            layer.register_parameter(name, None)
    return ready
