"""The states of one pass, by module and side: kept on rank 0, or of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tracer.execute.verify.points import Point, decoder_layers

if TYPE_CHECKING:
    from torch import Tensor, nn

Spot: TypeAlias = tuple[str, str]
"""A module's name, and `input` or `output`."""


class States(NamedTuple):
    """What one model made of the prompt."""

    layers: Sequence[str]
    """Its decoder layers in order."""
    values: Mapping[Spot, Tensor]
    """The first tensor of each point, (tokens, ...), as the model computed it, on the CPU; in order of time."""
    places: Mapping[Spot, int]
    """When each came, also where there are several tensors and none is kept."""


class Keeper:
    """Collects the states of a model's pass; of a module that is called twice, those of the first call."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = decoder_layers(model)
        self._owning = {name for name, module in model.named_modules() if [*module.parameters(recurse=False)]}
        self._values: dict[Spot, Tensor] = {}
        self._places: dict[Spot, int] = {}

    def keep(self, point: Point, gathered: Tensor | None = None) -> None:
        """`gathered` are the ranks' values beside each other, where each has its own: the whole input of a
        row-parallel layer. Outputs are kept as they are, since fused ones do not lie in that order.
        """  # fmt: skip
        spot = (point.module, point.side)
        if not point.values or spot in self._places:
            return
        self._places[spot] = point.place
        # Who owns parameters and returns several things is a fused projection or a router: elsewhere it returns others.
        if point.side == "input" or len(point.values) == 1 or point.module not in self._owning:
            value = gathered if gathered is not None and point.side == "input" else point.values[0]
            self._values[spot] = value.to("cpu", copy=True)

    def kept(self) -> States:
        """What was collected until now."""
        return States(self.layers, self._values, self._places)

    def write(self, path: Path) -> None:
        """To a file of this machine."""
        import torch

        torch.save(self.kept()._asdict(), path)


def read_states(path: Path) -> States:
    """What `Keeper.write` wrote; mapped, not read."""
    import torch

    found: dict[str, Any] = torch.load(path, weights_only=True, mmap=True)
    return States(**found)
