"""One rank's place in a tensor-parallel group: which share of each parameter it holds, and how it talks to the rest.

Layers ask it for their parameters, so their shapes come from the same `Param` objects as the rows of the mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeAlias

import torch

from engine.dtypes import TORCH
from engine.layers.linear_method import LinearMethod, unquantized
from mappings.bind import Binding
from mappings.params import Param
from mappings.shards import shard

Methods: TypeAlias = Callable[[str], LinearMethod]
"""Prefix of a layer -> the method that it computes with."""


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


ALONE = Alone()


def from_all(numbers: Sequence[int], group: Group, device: str | torch.device) -> list[list[int]]:
    """The numbers of each rank, in rank order; all give as many. In a group of one nothing is sent."""
    own = torch.tensor(numbers, dtype=torch.int64, device=device if group.size > 1 else "cpu")
    found: list[list[int]] = group.all_gather(own).view(group.size, -1).tolist()
    return found


@dataclass(frozen=True)
class TensorParallel:
    """What a layer needs to know to be one rank's share of itself."""

    binding: Binding
    rank: int = 0
    group: Group = ALONE
    device: str = "cpu"
    linear_method: Methods = unquantized
    """How the matrices of the layer with this prefix are kept and multiplied with."""

    @property
    def size(self) -> int:
        return self.binding.tp

    def local(self, axis: str) -> int:
        """This rank's positions of an axis that divides evenly, e.g. query heads."""
        return self.binding.axes.size(axis) // self.size

    def outputs(self, param: Param) -> dict[str, int]:
        """This rank's outputs of each part of a linear layer; shared heads count wherever they are held."""
        leaf = self.binding.leaf(param)
        if leaf is None:
            raise LookupError(f"{self.binding.arch.id} has no parameter {param.leaf_name('weight')}")
        rooms = leaf.rooms(self.rank)
        atoms = {part.name: self.binding.axes.atoms(sum(part.dims[:-1], ())) for part in param.parts}
        return {part: prod(rooms[part][atom] for atom in atoms[part]) for part in atoms}

    def held(self, param: Param, axis: str) -> tuple[int, int]:
        """Start and stop, in the whole, of this rank's positions of an axis of a parameter's first part."""
        cut = param.parts[0].cut
        own = cut if cut is not None and cut.axis == axis else None
        held = shard(own, self.binding.axes.size(axis), self.size, self.rank)
        return held.start, held.stop

    def parameter(self, param: Param, leaf: str = "weight") -> torch.nn.Parameter | None:
        """An uninitialised parameter for one leaf, in this rank's shape; None where the leaf does not exist."""
        found = self.binding.leaf(param, leaf)
        if found is None:
            return None
        shape = found.form(self.rank).shape
        data = torch.empty(shape, dtype=TORCH[found.dtype], device=self.device)
        return torch.nn.Parameter(data, requires_grad=False)
