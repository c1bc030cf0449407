"""The class that config.json names, where the tensors are another's: each class whose rows they fit is tried."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from mappings.findings import Finding
from mappings.mismatch import mismatch
from mappings.registry import installed
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Change, SetField

_SHOWN = frozenset({"arch.mismatch", "tensor.unmapped", "param.unfilled", "config.missing-field"})
_NEAR = 0.9
"""Of two class names: so alike are only those of which one is a slip of the pen."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """Every class of which all that it always has is here; for one that nobody knows, those that it may mean."""
    state = case.state
    said = state.config.get("architectures")
    declared = said[0] if isinstance(said, list) and said and isinstance(said[0], str) else ""
    unknown = state.refused is not None and state.refused.code == "arch.unknown"
    if not state.names or not (state.codes & _SHOWN or unknown):
        return
    for name in _fitting(state):
        slip = unknown and SequenceMatcher(None, declared, name).ratio() >= _NEAR
        if name != declared and (slip or not unknown):
            yield Hypothesis(_worded(declared, name, slip), _changes(state, name), evident=slip)


def _fitting(state: State) -> list[str]:
    """Classes whose rows all have their tensors, the one first that inference names."""
    names = [arch.name for arch in installed() if mismatch(arch, state.names) is None]
    inferred = next((field.value for field in state.inferred.fields if field.name == "architectures"), None)
    first = inferred[0] if isinstance(inferred, list) and inferred else inferred
    return sorted(dict.fromkeys(names), key=lambda name: name != first)


def _changes(state: State, name: str) -> tuple[Change, ...]:
    """The class, and the type that goes with it where it is known."""
    kind = next((field.value for field in state.inferred.fields if field.name == "model_type"), None)
    first = next((field.value for field in state.inferred.fields if field.name == "architectures"), None)
    changes: tuple[Change, ...] = (SetField("architectures", [name]),)
    if isinstance(kind, str) and first in (name, [name]) and state.config.get("model_type") not in (None, kind):
        changes += (SetField("model_type", kind),)
    return changes


def _worded(declared: str, name: str, slip: bool) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        claimed, total = trial.claimed
        wrong = trial.after.burden[0]
        if trial.after.plan is None or trial.loses or claimed < total or (slip and wrong):
            return None
        code = "arch.unknown" if slip else "arch.mismatch"
        known = f"no class is called {declared}" if slip else f"the tensors are not those of {declared}"
        fits = f"with {name}, {claimed} of {total} tensors are claimed{'' if wrong else ' and fit'}"
        return Finding(
            code, "error", declared or "architectures", f"config.json says {declared or 'no class'}, {known}: {fits}",
            {"field": "architectures", "found": declared, "tensors": name}, f'set architectures to ["{name}"]',
        )  # fmt: skip

    return worded
