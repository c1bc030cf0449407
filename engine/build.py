"""The parameters of one rank: those of the architecture's modules, or a skeleton of them where it has none."""

from __future__ import annotations

from typing import NamedTuple

import torch

from engine.dtypes import TORCH
from engine.models import registry
from engine.parallel import TensorParallel
from mappings.plan import LoadPlan


class Built(NamedTuple):
    """Allocated, not yet filled."""

    params: dict[str, torch.Tensor]
    model: torch.nn.Module | None
    """None for an architecture with rows and no modules: it can be loaded and traced, and cannot generate."""


class TableMismatch(Exception):
    """The modules of an architecture have other parameters than its rows lead to: a bug in one of them."""


def build(plan: LoadPlan, rank: int, device: str = "cpu") -> Built:
    """Allocate every parameter that the plan fills. Raises TableMismatch where modules and rows disagree."""
    arch = plan.binding.arch
    kind = registry.resolve(arch.name) if arch.id == arch.name or arch.dialect else None
    if kind is None:
        return Built(_skeleton(plan, rank, device), None)
    model = kind(plan.binding.config, TensorParallel(plan.binding, rank, device=device))
    params: dict[str, torch.Tensor] = dict(model.named_parameters())
    _compare(plan, rank, params)
    return Built(params, model)


def _skeleton(plan: LoadPlan, rank: int, device: str) -> dict[str, torch.Tensor]:
    return {
        name: torch.empty(leaf.form(rank).shape, dtype=TORCH[leaf.dtype], device=device)
        for name, leaf in plan.params()
    }  # fmt: skip


def _compare(plan: LoadPlan, rank: int, params: dict[str, torch.Tensor]) -> None:
    wanted = plan.shapes(rank)
    found = {name: tuple(param.shape) for name, param in params.items()}
    if wanted != found:
        name = next(n for n in [*wanted, *found] if wanted.get(n) != found.get(n))
        raise TableMismatch(f"{name}: the rows say {wanted.get(name)}, the modules {found.get(name)}")
