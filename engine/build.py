"""The parameters of one rank: those of the architecture's modules, or a skeleton of them where it has none."""

from __future__ import annotations

from typing import NamedTuple

import torch

from engine.dtypes import TORCH
from engine.models import registry
from engine.parallel import TensorParallel
from mappings.plan import LoadPlan
from mappings.sizes import ConfigError


class Built(NamedTuple):
    """Allocated, not yet filled. A tied parameter stands beside its owner, as the same tensor."""

    params: dict[str, torch.Tensor]
    model: torch.nn.Module | None
    """None for an architecture that can be loaded and traced, and cannot generate."""
    why_not: str = ""
    """Why there is no model."""


def build(plan: LoadPlan, rank: int, device: str = "cpu") -> Built:
    """Allocate every parameter that the plan fills.

    Where there are no modules, or they cannot be built from this config, or do not have the parameters that the rows
    lead to (rows of a user's own), a skeleton of the rows' parameters is loaded instead.
    """
    arch = plan.binding.arch
    kind = registry.resolve(arch.name)
    if kind is None:
        return Built(_skeleton(plan, rank, device), None, f"{arch.name} has rows and no modules")
    try:
        model = kind(plan.binding.config, TensorParallel(plan.binding, rank, device=device))
    except (ConfigError, ValueError, LookupError) as error:
        return Built(_skeleton(plan, rank, device), None, f"the modules of {arch.name} refuse this config: {error}")
    params: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    differs = _difference(plan, rank, params)
    if differs:
        return Built(_skeleton(plan, rank, device), None, f"the modules of {arch.name} do not fit the rows: {differs}")
    return Built(params, model)


def _skeleton(plan: LoadPlan, rank: int, device: str) -> dict[str, torch.Tensor]:
    params = {
        name: torch.empty(leaf.form(rank).shape, dtype=TORCH[leaf.dtype], device=device)
        for name, leaf in plan.params()
    }  # fmt: skip
    return params | {name: params[to] for name, to in plan.tied().items()}


def _difference(plan: LoadPlan, rank: int, params: dict[str, torch.Tensor]) -> str:
    """The first parameter that is not as the rows say, empty when all are."""
    wanted = {name: (leaf.form(rank).shape, TORCH[leaf.dtype]) for name, leaf in plan.params()}
    wanted |= {name: wanted[to] for name, to in plan.tied().items()}
    found = {name: (tuple(param.shape), param.dtype) for name, param in params.items()}
    name = next((n for n in [*wanted, *found] if wanted.get(n) != found.get(n)), None)
    return f"{name} is {found.get(name)} there and {wanted.get(name)} in the rows" if name else ""
