"""Which values must be the same on every rank, and whether they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracer.execute.verify.passed import Departure
from tracer.execute.verify.points import HIDDEN, LOGITS, Point

if TYPE_CHECKING:
    from torch import Tensor

    from engine.parallel import Group
    from mappings.plan import LoadPlan
    from tracer.execute.verify.states import Spot


class Equality:
    """Compares this rank's values with those of rank 0 as they come, and keeps the first departure.

    The same on every rank are, by the contract of the models, what enters the first decoder layer, what leaves each,
    the hidden states and the logits; and besides what leaves a module whose parameters every rank has whole, if the
    same went in; a norm over heads is not among them, as every rank has other heads. After a sum over ranks all are
    equal again, so a norm that is another on one rank changes no later state: it is seen where it happens, or never.

    Ranks on one machine agree to the last bit. Processors of different kinds round differently what each computes for
    itself, so a departure is a difference above 16 units of float32's precision, for the sums inside a norm or a
    router, plus 2 units of the values' own, for rounding up here and down there; times the largest value.
    """

    def __init__(self, group: Group, layers: Iterable[str], whole: Iterable[str]) -> None:
        self._group = group
        self._whole = frozenset(whole)
        names = list(layers)
        self._first = (names[0], "input") if names else None
        self._contract = {*names, HIDDEN, LOGITS}
        self._unequal_inputs: set[str] = set()
        self.departure: Departure | None = None

    def __call__(self, point: Point) -> Tensor | None:
        """All ranks' values beside each other, (..., ranks * last), where they differ; None where they are equal."""
        import torch

        if self._group.size == 1 or not point.values:
            return None
        own = point.values[0]
        gathered = self._group.all_gather(own)
        first = gathered[..., : own.shape[-1]]
        found = _departure(point, own, first)
        if found and point.side == "input":
            self._unequal_inputs.add(point.module)
        if found and self.departure is None and self._must_be_equal(point):
            self.departure = found
        others = torch.split(gathered, own.shape[-1], -1)
        return gathered if any(bool((other != first).any()) for other in others) else None

    def _must_be_equal(self, point: Point) -> bool:
        if point.side == "input":
            return (point.module, point.side) == self._first
        return point.module in self._contract or (
            point.module in self._whole and point.module not in self._unequal_inputs
        )  # fmt: skip


def _departure(point: Point, own: Tensor, first: Tensor) -> Departure | None:
    """What is not finite is said elsewhere, and counts as 0 here."""
    import torch

    ours, theirs = (torch.nan_to_num(x.float(), nan=0.0, posinf=0.0, neginf=0.0) for x in (own, first))
    if not theirs.numel():
        return None
    difference, largest = float((ours - theirs).abs().max()), float(theirs.abs().max())
    units = 16 * torch.finfo(torch.float32).eps
    if own.dtype in (torch.float16, torch.bfloat16):
        units += 2 * torch.finfo(own.dtype).eps
    if difference <= units * largest:
        return None
    return Departure(point.place, point.module, point.side, difference, largest, units * largest)


def whole_modules(plan: LoadPlan, modules: Iterable[str]) -> list[str]:
    """The modules with parameters, all of which every rank has whole."""
    whole: set[str] = set()
    cut: set[str] = set()
    for name, leaf in plan.params():
        (cut if any(part.cut for part in leaf.parts) else whole).update(_prefixes(name))
    return [module for module in modules if module in whole - cut]


def _prefixes(name: str) -> list[str]:
    segments = name.split(".")
    return [".".join(segments[:end]) for end in range(1, len(segments))]


def whole_params(plan: LoadPlan, spot: Spot) -> list[str]:
    """The parameters that every rank has whole, in table order: those of the module that a value left, else all."""
    module, side = spot
    anywhere = side == "input" or module in (HIDDEN, LOGITS)
    return [
        name for name, leaf in plan.params()
        if not any(part.cut for part in leaf.parts) and (anywhere or name.startswith(f"{module}."))
    ]  # fmt: skip


def differing_params(group: Group, params: dict[str, Tensor], names: Iterable[str]) -> list[str]:
    """Those of the named parameters that are others here than on rank 0; all ranks must ask it together."""
    import torch

    found = []
    for name in names:
        own = params[name].detach().reshape(1, -1)
        first = group.all_gather(own)[:, : own.shape[-1]]
        if not torch.equal(own.view(torch.uint8), first.contiguous().view(torch.uint8)):
            found.append(name)
    return found
