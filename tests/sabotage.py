"""Loaders with one planted fault each. Importable, so that real processes can run them too."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from engine.loading.loader import Loader, strided
from mappings.plan import Step
from mappings.views import View

LAYER = "model.layers.1.self_attn."
"""Where the faults are planted."""


def is_part(step: Step, part: str) -> bool:
    return step.param == f"{LAYER}qkv_proj.weight" and step.law.part == part


class SkipsARow(Loader):
    """k of one layer is never loaded."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if not is_part(step, "k"):
            super().place(step, tensor, param)


class LoadsARowTwice(Loader):
    """k of one layer is loaded twice, to the same place."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        super().place(step, tensor, param)
        if is_part(step, "k"):
            super().place(step, tensor, param)


class EveryRankIsRankZero(Loader):
    """Every rank reads rank 0's slice of one layer's o_proj. Names and shapes are all as they should be."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if step.param == f"{LAYER}o_proj.weight":
            first = step.row.laws(0)[0]
            self.write(strided(param, step.dst), strided(tensor, first.src), step)
        else:
            super().place(step, tensor, param)


class ExchangesQAndK(Loader):
    """q lands where k belongs and the reverse; they have one shape where there are as many KV heads as heads."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        self.places = {s.law.part: s.dst for s in self.plan.steps(self.rank) if s.param == f"{LAYER}qkv_proj.weight"}
        super().load(params)

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        other = {"q": "k", "k": "q"}.get(step.law.part)
        if other and is_part(step, step.law.part):
            self.write(strided(param, self.places[other]), strided(tensor, step.src), step)
        else:
            super().place(step, tensor, param)


class TransposesTheSource(Loader):
    """A square weight is read transposed."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if step.param == f"{LAYER}o_proj.weight":
            self.write(param, tensor.t()[:, self._columns(param)], step)
        else:
            super().place(step, tensor, param)

    def _columns(self, param: torch.Tensor) -> slice:
        width = param.shape[1]
        return slice(self.rank * width, (self.rank + 1) * width)


class OffByOneHead(Loader):
    """Rank 0 reads its query heads of one layer from the second head on."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if is_part(step, "q") and self.rank == 0:
            head = self.plan.binding.axes.size("dim") * tensor.shape[1]
            later = View(step.src.offset + head, step.src.sizes, step.src.strides)
            self.write(strided(param, step.dst), strided(tensor, later), step)
        else:
            super().place(step, tensor, param)


class DiesHalfWay(Loader):
    """Rank 1 raises when it reaches the second layer."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if self.rank == 1 and step.param.startswith(LAYER):
            raise RuntimeError("planted failure")
        super().place(step, tensor, param)


class FillsInsteadOfCopying(Loader):
    """k of one layer is filled with a constant: every element is written once, from nowhere."""

    def place(self, step: Step, tensor: torch.Tensor, param: torch.Tensor) -> None:
        if is_part(step, "k"):
            dst = strided(param, step.dst)
            dst.fill_(1.0)
            self.recorder.filled(dst, 1.0, "made up")
        else:
            super().place(step, tensor, param)


class PadsWithNine(Loader):
    """The vocabulary's tail is nine, not zero."""

    def fill(self, params: Mapping[str, torch.Tensor]) -> None:
        for pad, name in self.plan.pads(self.rank):
            dst = strided(params[name], pad.dst)
            dst.fill_(9.0)
            self.recorder.filled(dst, 9.0, pad.reason)


class OverwritesWithJunk(Loader):
    """Everything is loaded as it should be; then one parameter is written again, from a tensor of no checkpoint."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        super().load(params)
        param = params[f"{LAYER}o_proj.weight"]
        junk = torch.zeros_like(param)
        param.copy_(junk)
        self.recorder.copied(junk, param, "junk", None, None)


class CopiesAClone(Loader):
    """The source is a copy of the tensor: its bytes may be right, and where they came from is not to be seen."""

    def write(self, dst: torch.Tensor, src: torch.Tensor, step: Step) -> None:
        super().write(dst, src.clone() if is_part(step, "q") else src, step)


class AllocatesAnotherType(Loader):
    """One parameter is kept in a data type and a shape of the loader's own; what is recorded is what it allocated."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        name = f"{LAYER}o_proj.weight"
        other = torch.empty(params[name].shape, dtype=torch.float16, device=params[name].device)
        super().load({**params, name: other})
