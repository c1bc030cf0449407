"""The states of one pass, by module and side: kept on rank 0, or of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tracer.execute.verify.points import Choice, Point, decoder_layers

if TYPE_CHECKING:
    from torch import Tensor, nn

Spot: TypeAlias = tuple[str, str]
"""A module's name, and `input`, `output`, `rows` for all that it returns side by side if it has parameters of its own,
or `scores 0` for the first choice of experts that it makes.
"""


class States(NamedTuple):
    """What one model made of the prompt."""

    layers: Sequence[str]
    """Its decoder layers in order."""
    values: Mapping[Spot, Tensor]
    """The first tensor of each point, (tokens, ...), as the model computed it, on the CPU; in order of time."""
    places: Mapping[Spot, int]
    """When each came, also where there are several tensors and none is kept."""
    chosen: Mapping[Spot, Tensor] = {}
    """Where experts were chosen, whose scores are among the values: which, (tokens, k), int64; in order of time."""


class Keeper:
    """Collects the states of a model's pass; of a module that is called twice, those of the first call.

    `imposed` are the experts that tokens are to be sent to, one tensor (tokens, k) for every choice in order of time:
    where a choice has that shape, it is taken in the place of the model's own.
    """

    def __init__(self, model: nn.Module, imposed: Sequence[Tensor] = ()) -> None:
        self._imposed = imposed
        self.layers = decoder_layers(model)
        self._owning = {name for name, module in model.named_modules() if [*module.parameters(recurse=False)]}
        self._values: dict[Spot, Tensor] = {}
        self._places: dict[Spot, int] = {}
        self._chosen: dict[Spot, Tensor] = {}

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
        if point.side == "output" and point.module in self._owning:
            self._keep_rows(point)

    def _keep_rows(self, point: Point) -> None:
        """Of parallel layers those of this rank, in the order of the parameter's rows."""
        import torch

        if all(value.ndim > 1 and len(value) == len(point.values[0]) for value in point.values):
            spot = (point.module, "rows")
            self._places[spot] = point.place
            kept = self._values.get((point.module, point.side))
            self._values[spot] = torch.cat([v.flatten(1) for v in point.values], 1).cpu() if kept is None else kept

    def choose(self, choice: Choice) -> Tensor:
        """Keeps the scores, and what is taken."""
        number = len(self._chosen)
        imposed = self._imposed[number] if number < len(self._imposed) else choice.chosen
        taken = imposed if imposed.shape == choice.chosen.shape else choice.chosen
        spot = (choice.module, f"scores {sum(module == choice.module for module, _ in self._chosen)}")
        self._places[spot] = choice.place
        self._values[spot] = choice.scores.to("cpu", copy=True)
        self._chosen[spot] = taken.to("cpu", copy=True)
        return taken

    def kept(self) -> States:
        """What was collected until now."""
        return States(self.layers, self._values, self._places, self._chosen)

    def write(self, path: Path) -> None:
        """To a file of this machine."""
        import torch

        torch.save(self.kept()._asdict(), path)


def read_states(path: Path) -> States:
    """What `Keeper.write` wrote; mapped, not read."""
    import torch

    found: dict[str, Any] = torch.load(path, weights_only=True, mmap=True)
    return States(**found)
