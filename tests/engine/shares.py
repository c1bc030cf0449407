"""One rank's layers without the other ranks: for tests that put the shares together themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.parallel import TensorParallel
from mappings.architectures import BUILT_IN
from mappings.bind import Binder, Binding

BY_NAME = {arch.name: arch for arch in reversed(BUILT_IN)}


@dataclass(frozen=True)
class Deaf:
    """A group in which every rank hears only itself, so that a test can put the shares together."""

    size: int

    def all_reduce(self, x: Tensor) -> Tensor:
        return x

    def all_gather(self, x: Tensor) -> Tensor:
        return x


def binding_of(config: dict[str, Any], tp: int, dtype: str = "F64") -> Binding:
    return Binder(BY_NAME[config["architectures"][0]], config, tp, dtype=dtype).bind()


def shares(config: dict[str, Any], tp: int) -> list[TensorParallel]:
    """Every rank of a group, none of which hears the others."""
    binding = binding_of(config, tp)
    return [TensorParallel(binding, rank, Deaf(tp)) for rank in range(tp)]


def randomised(module: nn.Module) -> nn.Module:
    for param in module.parameters():
        param.data.normal_(generator=torch.Generator().manual_seed(param.numel()))
    return module
