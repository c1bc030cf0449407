"""A checkpoint that is only in memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from engine.loading.loader import WeightSource
from tests.engine.checkpoints import Header


@dataclass(frozen=True)
class Memory(WeightSource):
    """A weight source of named tensors."""

    tensors: dict[str, Tensor]

    @property
    def header(self) -> list[Header]:
        return [Header(name, "F64", tuple(tensor.shape)) for name, tensor in self.tensors.items()]

    def tensor(self, position: int) -> Tensor:
        return list(self.tensors.values())[position]
