"""One rank's forward pass over the prompt, watched at every module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mappings.sizes import ConfigError
from tracer.execute.verify.equality import Equality, differing_params, whole_modules, whole_params
from tracer.execute.verify.passed import Departure, Nonfinite, Passed, VerifyFailed
from tracer.execute.verify.points import HIDDEN, LOGITS, Choose, Point, decoder_layers, watched
from tracer.execute.verify.prompt import prompt
from tracer.execute.verify.states import Keeper, Spot

if TYPE_CHECKING:
    from torch import Tensor

    from engine.loading.build import Built
    from engine.models.contract import CausalLM
    from engine.processes.distributed import ProcessGroup
    from mappings.plan import LoadPlan

NEVER = 1 << 40
"""A place that no pass reaches."""


class Looker:
    """Sees every point of one rank's pass."""

    def __init__(self, equality: Equality, keeper: Keeper | None) -> None:
        self._equality = equality
        self._keeper = keeper
        self.spots: list[Spot] = []
        """Of each point, by its place."""
        self.nonfinite: Nonfinite | None = None

    def __call__(self, point: Point) -> None:
        self.spots.append((point.module, point.side))
        if self.nonfinite is None:
            self.nonfinite = _nonfinite(point)
        gathered = self._equality(point)
        if self._keeper is not None:
            self._keeper.keep(point, gathered)


def _nonfinite(point: Point) -> Nonfinite | None:
    count = sum(int((~value.isfinite()).sum()) for value in point.values)
    if not count:
        return None
    return Nonfinite(
        point.place, point.module, point.side, point.inside, count, sum(value.numel() for value in point.values)
    )  # fmt: skip


def verify_rank(group: ProcessGroup, plan: LoadPlan, built: Built, states: Path | None) -> dict[str, Any]:
    """`Passed` as plain values, or why there is no forward pass of what was loaded. All ranks must call it.

    Rank 0 writes what its modules made to `states`, where that is given. Raises VerifyFailed, PeersLost.
    """
    import torch

    from engine.processes.failed import PeersLost
    from engine.serving.length import longest

    try:
        model = built.generator()
        ids = prompt(plan.binding.axes.size("vocab"), longest(plan.binding))
    except (ValueError, ConfigError) as error:
        return {"why_not": str(error)}
    # No rank begins before all have loaded: whatever happens from here on, the loads were complete.
    group.all_gather(torch.zeros(1, device=group.device))
    try:
        with torch.no_grad():
            return _verify(group, plan, model, built.params, ids, states if group.rank == 0 else None).plain()
    except PeersLost:  # of another rank's failure, which that one tells
        raise
    except Exception as error:  # whatever a model may raise that was loaded as it should be
        raise VerifyFailed(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}") from error


def _verify(
    group: ProcessGroup, plan: LoadPlan, model: CausalLM, params: dict[str, Tensor], ids: list[int],
    states: Path | None,
) -> Passed:  # fmt: skip
    from engine.layers.linear_method import weights_loaded

    weights_loaded(model)
    layers = decoder_layers(model)
    keeper = None if states is None else Keeper(model)
    equality = Equality(group, layers, whole_modules(plan, dict(model.named_modules())))
    looker = Looker(equality, keeper)
    dtype = _compute(model, ids, group.device, looker, keeper.choose if keeper else None)
    if keeper is not None and states is not None:
        keeper.write(states)
    departure = _with_params(group, plan, params, looker, equality.departure)
    return Passed(ids, dtype, _with_tensors(plan, group.rank, params, looker.nonfinite), departure)


def _compute(model: CausalLM, ids: list[int], device: str, looker: Looker, choose: Choose | None) -> str:
    """The pass itself, through the contract of the models; the data type of the hidden states."""
    import torch

    from engine.attention.sdpa import WHOLE_SEQUENCE

    tokens = torch.tensor(ids, dtype=torch.int64, device=device)
    with watched(model, looker, choose) as watch:
        hidden = model(tokens, torch.arange(len(ids), device=device), WHOLE_SEQUENCE)
        watch.reach(HIDDEN, hidden)
        watch.reach(LOGITS, model.compute_logits(hidden))
    return str(hidden.dtype)


def _with_params(
    group: ProcessGroup, plan: LoadPlan, params: dict[str, Tensor], looker: Looker, departure: Departure | None
) -> Departure | None:  # fmt: skip
    """Where ranks depart, all of them look together which parameters are the cause."""
    import torch

    place = departure.place if departure else NEVER
    places = group.all_gather(torch.tensor([place], dtype=torch.int64, device=group.device)).tolist()
    if min(places) == NEVER:
        return departure
    names = differing_params(group, params, whole_params(plan, looker.spots[min(places)]))
    if departure is None or departure.place != min(places):
        return departure
    return replace(departure, params=names)


def _with_tensors(
    plan: LoadPlan, rank: int, params: Mapping[str, Tensor], nonfinite: Nonfinite | None
) -> Nonfinite | None:  # fmt: skip
    """Which of the tensors that feed the module are the cause, as far as this rank holds them."""
    from engine.loading.loader import strided

    if nonfinite is None:
        return None
    tied, counts = plan.tied(), dict[str, int]()
    prefix = f"{nonfinite.inside}." if nonfinite.inside else ""
    own = {tied.get(name, name) for name in params if name.startswith(prefix)}
    for step in plan.steps(rank):
        if step.param in own:
            count = int((~strided(params[step.param].detach(), step.dst).isfinite()).sum())
            if count:
                name = plan.tensors[step.tensor].name
                counts[name] = counts.get(name, 0) + count
    return replace(nonfinite, tensors=counts)
