"""Trying a hypothesis: the plan made again with edited headers, and what was wrong before and is not now."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mappings.findings import Finding
from tracer.diagnose.state import State
from tracer.diagnose.weight import key_of, weight_of


@dataclass(frozen=True)
class Trial:
    """Before and after."""

    before: State
    after: State
    unplanned: bool = False
    """Whether there is no plan afterwards by what was tried, and not as something was spoilt."""

    @cached_property
    def gone(self) -> tuple[Finding, ...]:
        """Symptoms that are not there any more."""
        left = set(map(key_of, self.after.findings))
        return tuple(each for each in self.before.symptoms if key_of(each) not in left)

    @cached_property
    def new(self) -> tuple[Finding, ...]:
        """Symptoms that were not there before: hidden behind what was mended, or made by it."""
        had = set(map(key_of, self.before.symptoms))
        return tuple(each for each in self.after.symptoms if key_of(each) not in had)

    @property
    def gain(self) -> tuple[int, int]:
        """How much less is wrong, in errors and in warnings; a plan where there was none outweighs both."""
        planned = (self.after.plan is not None) - (self.before.plan is not None)
        counts = not self.unplanned and (self.before.codes & _REFUSING or planned < 0)
        unplanned = _PLAN * planned if counts else 0
        (errors, warnings), (left, remaining) = self.before.burden, self.after.burden
        return errors - left + unplanned, warnings - remaining

    @property
    def helps(self) -> bool:
        return self.gain > (0, 0) and bool(self.gone)

    @property
    def claimed(self) -> tuple[int, int]:
        """Of all tensors, how many a row, a skip or a tie claims afterwards, and how many there are."""
        return _claimed(self.after), len(self.after.names)

    @property
    def loses(self) -> bool:
        """Whether tensors that were claimed before are nobody's afterwards: then less is wrong as less is known."""
        return self.before.plan is not None and _claimed(self.after) < _claimed(self.before)

    @property
    def explained(self) -> int:
        """Tensors and parameters behind what is gone."""
        return sum(map(weight_of, self.gone))


def _claimed(state: State) -> int:
    return sum(claim.owner is not None for claim in state.plan.claims) if state.plan else 0


_PLAN = 1 << 32
_REFUSING = frozenset({"arch.mismatch", "config.missing", "config.missing-field", "config.invalid", "config.conflict",
                       "arch.unknown"})  # fmt: skip
"""Errors behind which there is no plan; what a plan then shows is progress, however much it is."""
