"""Executes one rank's plan: source view, destination view, copy, tell the recorder.

There is no model-specific code here and no arithmetic on sizes: where things go is the plan's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from engine.recorder import Recorder
from mappings.plan import LoadPlan, Step
from mappings.views import View

TRANSFORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "neg_exp": lambda x: -torch.exp(x.float()),
}
"""A function for each of `mappings.transforms`."""


class WeightSource(Protocol):
    """Gives the tensors of a checkpoint: whole, contiguous and lazy (mapped, or on the meta device)."""

    def tensor(self, position: int) -> torch.Tensor:
        """The tensor at a position of the plan's header."""

    def copy(self, dst: torch.Tensor, src: torch.Tensor) -> None:
        """What `dst.copy_(src)` does, however this source does it best; `src` is a view of the latest tensor."""
        dst.copy_(src)

    def finish(self) -> None:
        """Nothing more will be copied; the default has nothing to put away."""
        return


def strided(tensor: torch.Tensor, view: View) -> torch.Tensor:
    """A view of a contiguous tensor; offsets count from the tensor's own first element."""
    return tensor.as_strided(view.sizes, view.strides, tensor.storage_offset() + view.offset)


class Loader:
    """Fills the parameters of one rank."""

    def __init__(self, plan: LoadPlan, rank: int, source: WeightSource, recorder: Recorder) -> None:
        self.plan = plan
        self.rank = rank
        self.source = source
        self.recorder = recorder

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        """Write every element of every parameter once. `params` maps engine names to allocated tensors."""
        for name, param in params.items():
            self.recorder.allocated(name, param)
        with torch.no_grad():
            try:
                self.copy(params)
            finally:
                self.source.finish()
            self.fill(params)

    def copy(self, params: Mapping[str, torch.Tensor]) -> None:
        """Every step of the plan, each stored tensor opened once."""
        position, tensor = -1, torch.empty(0)
        for step in self.plan.steps(self.rank):
            if step.tensor != position:
                position, tensor = step.tensor, self.open(step)
            self.place(step, tensor, params[step.param])

    def open(self, step: Step) -> torch.Tensor:
        """The stored tensor of a step, announced to the recorder."""
        tensor = self.source.tensor(step.tensor)
        self.recorder.stored(self.plan.tensors[step.tensor].name, tensor)
        return tensor

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        """One copy of the plan."""
        self.write(strided(param, step.dst), strided(tensor, step.src), step)

    def write(self, dst: torch.Tensor, src: torch.Tensor, step: Step) -> None:
        """The one primitive that writes checkpoint data to a parameter."""
        op = step.row.op
        if op:
            dst.copy_(TRANSFORMS[op](src))
        else:
            self.source.copy(dst, src)
        self.recorder.copied(src, dst, step.row.id, step.shard, op)

    def fill(self, params: Mapping[str, torch.Tensor]) -> None:
        """Padding and constants: regions that no tensor feeds, by rule."""
        for pad, name in self.plan.pads(self.rank):
            dst = strided(params[name], pad.dst)
            dst.fill_(pad.value)
            self.recorder.filled(dst, pad.value, pad.reason)
