"""The class that config.json names, where the tensors are another's: each class whose rows they fit is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher

from mappings.findings import Finding
from mappings.mismatch import mismatch
from mappings.registry import installed
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.infer.families import NAMED
from tracer.repair.changes import Change, SetField

_SHOWN = frozenset({"arch.mismatch", "tensor.unmapped", "param.unfilled", "config.missing-field"})
_OF_NAMES = frozenset({"tensor.unmapped", "param.unfilled", "arch.mismatch"})
"""Errors that tensors of another class make; with others beside them more than the class is wrong."""
_KNOWN = 0.5
"""Of the tensors: where rows know fewer, their names are another's as a whole."""
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
    for name in classes(state):
        slip = unknown and SequenceMatcher(None, declared, name).ratio() >= _NEAR
        if name != declared and (slip or not unknown):
            yield Hypothesis(_worded(declared, name, slip), _changes(state, name), evident=slip)
    if (other := _without_rows(state)) is not None:
        yield Hypothesis(_seen(other), _changes(state, other.evidence["tensors"]), unplanned=True)


def classes(state: State) -> list[str]:
    """Classes whose rows all have their tensors: the one first that `model_type` names, then the one inferred."""
    names = [arch.name for arch in installed() if mismatch(arch, state.names) is None]
    inferred = next((field.value for field in state.inferred.fields if field.name == "architectures"), None)
    first = inferred[0] if isinstance(inferred, list) and inferred else inferred
    kind = state.config.get("model_type")
    return sorted(dict.fromkeys(names), key=lambda name: (_type_of(name) != kind or kind is None, name != first))


def _type_of(name: str) -> str | None:
    """The `model_type` that goes with a class, where it is known."""
    return NAMED[name].model_type if name in NAMED else None


def is_of_another_type(state: State) -> bool:
    """Whether `model_type` names another class than `architectures` does, and the tensors are of that class."""
    kind, declared = state.config.get("model_type"), state.config.get("architectures")
    own = _type_of(declared[0]) if isinstance(declared, list) and declared else None
    return kind not in (None, own) and any(_type_of(name) == kind for name in classes(state))


def _without_rows(state: State) -> Finding | None:
    """What inference holds the tensors for, where no rows describe that class and the names are in their places."""
    errors = {finding.code for finding in state.symptoms if finding.severity == "error"}
    plan = state.plan
    if plan is None or not errors or errors - _OF_NAMES:
        return None
    known = sum(claim.owner is not None for claim in plan.claims)
    if known < _KNOWN * len(plan.claims):
        return None
    described = {arch.name for arch in installed()}
    seen = (finding for finding in state.inferred.findings if finding.code == "arch.mismatch")
    return next((finding for finding in seen if finding.evidence.get("tensors") not in {None, *described}), None)


def _changes(state: State, name: str) -> tuple[Change, ...]:
    """The class, and the type that goes with it where it is known."""
    kind = _type_of(name)
    changes: tuple[Change, ...] = (SetField("architectures", [name]),)
    if kind is not None and state.config.get("model_type") not in (None, kind):
        changes += (SetField("model_type", kind),)
    return changes


def _seen(other: Finding) -> Wording:
    """In the words of inference, which knows classes that no rows describe."""

    def worded(trial: Trial) -> Finding | None:
        if trial.after.burden[0]:
            return None
        name = other.evidence["tensors"]
        told = f"{other.message}; as {name} nothing else is wrong with them, as far as can be told without rows for it"
        return replace(other, message=f"{told}{_type(trial, name)}", fix=f"{_set(name)} and the rest to match")

    return worded


def _type(trial: Trial, name: str) -> str:
    """What `model_type` says of it, where it takes a side."""
    kind, declared = trial.before.config.get("model_type"), trial.before.config.get("architectures")
    own = _type_of(declared[0]) if isinstance(declared, list) and declared else None
    if kind is None or kind == own or _type_of(name) != kind:
        return ""
    return f"; model_type says {kind} too, which is not the type of {declared[0] if declared else 'it'}"


def _set(name: str) -> str:
    return f'set architectures to ["{name}"]'


def _worded(declared: str, name: str, slip: bool) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        claimed, total = trial.claimed
        wrong = trial.after.burden[0]
        if trial.after.plan is None or trial.loses or claimed < total or (slip and wrong):
            return None
        code = "arch.unknown" if slip else "arch.mismatch"
        known = f"no class is called {declared}" if slip else f"the tensors are not those of {declared}"
        seen = next((each for each in trial.before.inferred.findings if each.code == code), None)
        said = f"config.json says {declared or 'no class'}, {known}" if seen is None or slip else seen.message
        fits = f"with {name}, {claimed} of {total} tensors are claimed{'' if wrong else ' and fit'}"
        return Finding(
            code, "error", declared or "architectures", f"{said}: {fits}{_type(trial, name)}",
            {"field": "architectures", "found": declared, "tensors": name}, _set(name),
        )  # fmt: skip

    return worded
