"""Parameters of the engine by the modules that own them, and the tensors that feed them: what a verdict names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property

from mappings.bind import BoundRow
from mappings.names import collapse
from mappings.plan import LoadPlan
from tracer.execute.verify.projections import Projection, projections

MOST = 12
"""Names that are spelled out in a message; all of them are in the evidence."""


class Sources:
    """Looked up in the plan: nothing of it needs the model."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan

    @cached_property
    def _tied(self) -> dict[str, str]:
        return self._plan.tied()

    @cached_property
    def params(self) -> list[str]:
        """Every parameter, in table order."""
        return [*(name for name, _ in self._plan.params()), *self._tied]

    @cached_property
    def routed(self) -> bool:
        """Whether some parameter has experts, of which each token is sent to a few."""
        return any("expert" in dim for leaf in self._plan.binding.leaves for dim in leaf.layout)

    @cached_property
    def products(self) -> list[Projection]:
        """Tensors whose products can be compared one by one."""
        return list(projections(self._plan))

    def under(self, module: str) -> list[str]:
        """The parameters of a module and of those in it."""
        return [name for name in self.params if name.startswith(f"{module}.")]

    def owner(self, param: str, modules: Collection[str]) -> str | None:
        """The innermost of some modules that a parameter is in."""
        segments = param.split(".")
        prefixes = (".".join(segments[:end]) for end in range(len(segments) - 1, 0, -1))
        return next((prefix for prefix in prefixes if prefix in modules), None)

    def tensors(self, param: str) -> list[str]:
        """The tensors of the checkpoint that rows lead to a parameter, in file order."""
        return self._feeding.get(self._tied.get(param, param), [])

    @cached_property
    def _feeding(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for tensor, claim in zip(self._plan.tensors, self._plan.claims, strict=True):
            if isinstance(claim.owner, BoundRow):
                found.setdefault(claim.owner.param_name(claim.indices), []).append(tensor.name)
        return found

    def evidence(self, params: Iterable[str]) -> dict[str, list[str]]:
        """Each parameter with its tensors."""
        return {param: self.tensors(param) for param in params}

    def told(self, params: Iterable[str]) -> str:
        """The same in words: `P (from T1, T2), Q (from T3)`."""
        found = list(params)
        texts = [f"{param} (from {_listed(self.tensors(param))})" for param in found[:MOST]]
        more = [f"{len(found) - MOST} more"] if len(found) > MOST else []
        return ", ".join([*texts, *more])


def _listed(names: Iterable[str]) -> str:
    folded = [name for name, _ in collapse(names)]
    more = [f"{len(folded) - MOST} more"] if len(folded) > MOST else []
    return ", ".join([*folded[:MOST], *more])
