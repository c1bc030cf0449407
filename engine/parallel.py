"""One rank's place in a tensor-parallel group: which share of each parameter it holds, and how it talks to the rest.

Layers ask it for their parameters, so their shapes come from the same `Param` objects as the rows of the mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.dtypes import TORCH
from mappings.bind import Binding
from mappings.params import Param


class Group(Protocol):
    """The collectives that tensor-parallel layers need."""

    @property
    def size(self) -> int: ...

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over ranks; `x` may be changed in place."""

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors side by side along the last dimension, in rank order."""


class Alone:
    """A group of one."""

    size = 1

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        return x


@dataclass(frozen=True)
class TensorParallel:
    """What a layer needs to know to be one rank's share of itself."""

    binding: Binding
    rank: int = 0
    group: Group = Alone()
    device: str = "cpu"

    @property
    def size(self) -> int:
        return self.binding.tp

    def local(self, axis: str) -> int:
        """This rank's positions of an axis that divides evenly, e.g. query heads."""
        return self.binding.axes.size(axis) // self.size

    def parameter(self, param: Param, leaf: str = "weight") -> torch.nn.Parameter | None:
        """An uninitialised parameter for one leaf, in this rank's shape; None where the leaf does not exist."""
        found = self.binding.leaf(param, leaf)
        if found is None:
            return None
        shape = found.form(self.rank).shape
        data = torch.empty(shape, dtype=TORCH[found.dtype], device=self.device)
        return torch.nn.Parameter(data, requires_grad=False)
