"""The parameters of one rank: those of the architecture's modules, or a skeleton of them where it has none."""

from __future__ import annotations

from math import prod
from typing import NamedTuple, cast

import torch

from engine.dtypes import TORCH
from engine.layers.linear_method import unquantized
from engine.models import registry
from engine.models.contract import CausalLM, Model
from engine.models.registry import Kind
from engine.parallel import ALONE, Group, Methods, TensorParallel
from mappings.plan import LoadPlan
from mappings.sizes import ConfigError


class Built(NamedTuple):
    """Allocated, not yet filled. A tied parameter stands beside its owner, as the same tensor."""

    params: dict[str, torch.Tensor]
    model: Model | None
    """None for an architecture that can be loaded and traced, and cannot compute."""
    why_not: str = ""
    """Why there is no model."""
    kind: Kind = "generation"
    """What the model is for."""

    def generator(self) -> CausalLM:
        """The model, if it generates text. Raises ValueError that says why it does not."""
        if self.model is None:
            raise ValueError(f"cannot generate: {self.why_not}")
        if self.kind != "generation":
            raise ValueError(f"cannot generate: {type(self.model).__name__} is a model for {self.kind}, without a head")
        return cast("CausalLM", self.model)


class NoModules(Exception):
    """Why an architecture has no model here."""


def build(
    plan: LoadPlan, rank: int, device: str = "cpu", group: Group = ALONE, linear_method: Methods | None = None
) -> Built:  # fmt: skip
    """Allocate every parameter that the plan fills. `linear_method` is what the layers' `tp` has under this name.

    Where there are no modules, or they cannot be built from this config, or do not have the parameters that the rows
    lead to (rows of a user's own), a skeleton of the rows' parameters is loaded instead.
    """
    tp = TensorParallel(plan.binding, rank, group, device, linear_method or unquantized)
    try:
        model = _modules(plan, tp)
    except NoModules as reason:
        return Built(_skeleton(plan, rank, device), None, str(reason))
    params: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    differs = _difference(plan, rank, params)
    if differs:
        why_not = f"the modules of {plan.binding.arch.name} do not fit the rows: {differs}"
        return Built(_skeleton(plan, rank, device), None, why_not)
    scheme = plan.binding.scheme
    if scheme and linear_method is None:
        return Built(params, None, f"no linear method computes with weights stored as {scheme.name}")
    return Built(params, model, "", _kind(plan))


def parameter_bytes(plan: LoadPlan, rank: int) -> int:
    """What `build` allocates."""
    return sum(prod(leaf.form(rank).shape) * TORCH[leaf.dtype].itemsize for _, leaf in plan.params())


def _kind(plan: LoadPlan) -> Kind:
    entry = registry.find(plan.binding.arch.name)
    assert entry is not None, "it has been built"
    return entry.kind


def _modules(plan: LoadPlan, tp: TensorParallel) -> Model:
    name = plan.binding.arch.name
    try:
        kind = registry.resolve(name)
        if kind is None:
            raise NoModules(f"{name} has rows and no modules")
        return kind(plan.binding.config, tp, "")
    except registry.ModelError as error:
        raise NoModules(f"the modules of {error}") from error
    except (ConfigError, ValueError, LookupError) as error:
        raise NoModules(f"the modules of {name} refuse this config: {error}") from error


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
