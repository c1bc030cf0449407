"""Executes one rank's plan: source view, destination view, copy, tell the recorder.

There is no model-specific code here and no arithmetic on sizes: where things go is the plan's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

import torch

from engine.loading.recorder import Recorder
from mappings.plan import LoadPlan, Step
from mappings.views import View

TRANSFORMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "neg_exp": lambda x: -torch.exp(x.float()),
}
"""A function for each of `mappings.transforms`."""
TELL_SECONDS = 0.1
"""What was copied is told in batches, this much later at most while copies go on."""
Work: TypeAlias = Callable[[], object]


class WeightSource(Protocol):
    """Gives the tensors of a checkpoint: whole, contiguous and lazy (mapped, or on the meta device)."""

    ahead: int = 1
    """How many copies may be prepared before the first is made: 1 where a tensor is held in memory."""

    def tensor(self, position: int) -> torch.Tensor:
        """The tensor at a position of the plan's header."""

    def copying(self, dst: torch.Tensor, src: torch.Tensor, position: int) -> Work:
        """What does `dst.copy_(src)` when called, the way that suits this source; `src` is of the tensor there."""
        return partial(dst.copy_, src)

    def settle(self) -> None:
        """Wait until all copies that were made are done; the default makes none that are not."""
        return

    def finish(self) -> None:
        """Nothing more will be copied, and all is to be done; the default has nothing to put away."""
        return


def strided(tensor: torch.Tensor, view: View) -> torch.Tensor:
    """A view of a contiguous tensor; offsets count from the tensor's own first element."""
    if view.offset == 0 and view.sizes == tensor.shape and view.strides == tensor.stride():
        return tensor
    return tensor.as_strided(view.sizes, view.strides, tensor.storage_offset() + view.offset)


class Copy(NamedTuple):
    """One copy, prepared."""

    dst: torch.Tensor
    src: torch.Tensor
    step: Step
    tensor: torch.Tensor
    """The stored tensor, of which `src` is a view: kept, so that no other gets its address before it is told of."""
    work: Work
    """Makes it."""


def _transformed(dst: torch.Tensor, src: torch.Tensor, op: str) -> None:
    dst.copy_(TRANSFORMS[op](src))


class Loader:
    """Fills the parameters of one rank.

    Between two long copies the processor's caches are swept, and what is done there takes four times as long. So
    copies are prepared some steps ahead and told some time later, each in one go.
    """

    def __init__(self, plan: LoadPlan, rank: int, source: WeightSource, recorder: Recorder) -> None:
        self.plan = plan
        self.rank = rank
        self.source = source
        self.recorder = recorder
        self._ready: list[Copy] = []
        self._done: list[Copy] = []
        self._tell_at = 0.0

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        """Write every element of every parameter once. `params` maps engine names to allocated tensors."""
        for name, param in params.items():
            self.recorder.allocated(name, param)
        self._tell_at = time.monotonic() + TELL_SECONDS
        with torch.no_grad():
            try:
                self.copy(params)
            finally:
                self.source.finish()
                self._tell()
            self.fill(params)
            self.recorder.pause()

    def copy(self, params: Mapping[str, torch.Tensor]) -> None:
        """Every step of the plan, each stored tensor opened once."""
        position = -1
        try:
            for step in self.plan.steps(self.rank):
                if step.tensor != position:
                    position, self._tensor = step.tensor, self.source.tensor(step.tensor)
                self.place(step, self._tensor, params[step.param])
                if len(self._ready) >= self.source.ahead:
                    self._carry_out()
        finally:
            self._carry_out()  # also what was prepared before a failure

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        """Prepare one copy of the plan."""
        self.write(strided(param, step.dst), strided(tensor, step.src), step)

    def write(self, dst: torch.Tensor, src: torch.Tensor, step: Step) -> None:
        """The one way for checkpoint data to a parameter."""
        op = step.row.op
        work = partial(_transformed, dst, src, op) if op else self.source.copying(dst, src, step.tensor)
        self._ready.append(Copy(dst, src, step, self._tensor, work))

    def _carry_out(self) -> None:
        ready, self._ready = self._ready, []
        for copy in ready:
            self.perform(copy)
            self._done.append(copy)
            if time.monotonic() > self._tell_at:
                self._tell()
        if self.source.ahead == 1:
            self._tell()

    def perform(self, copy: Copy) -> None:
        """Make one copy."""
        copy.work()

    def _tell(self) -> None:
        """Have the recorder know of what was copied since the last time."""
        self.source.settle()
        done, self._done = self._done, []
        position = -1
        for dst, src, step, tensor, _ in done:
            if step.tensor != position:
                position = step.tensor
                self.recorder.stored(self.plan.tensors[position].name, tensor)
            self.recorder.copied(src, dst, step.row.id, step.shard, step.row.op)
        self.recorder.pause()
        self._tell_at = time.monotonic() + TELL_SECONDS

    def fill(self, params: Mapping[str, torch.Tensor]) -> None:
        """Padding and constants: regions that no tensor feeds, by rule."""
        for pad, name in self.plan.pads(self.rank):
            dst = strided(params[name], pad.dst)
            dst.fill_(pad.value)
            self.recorder.filled(dst, pad.value, pad.reason)
