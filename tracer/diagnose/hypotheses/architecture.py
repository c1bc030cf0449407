"""The class that config.json names, where the tensors are another's: each class whose rows they fit is tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher

from mappings.findings import Finding
from mappings.mismatch import mismatch
from mappings.registry import installed
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.edited import edited
from tracer.diagnose.hypotheses.whereabouts import is_here
from tracer.diagnose.hypothesis import Assumption, Hypothesis, Wording
from tracer.diagnose.state import State, changed
from tracer.diagnose.trial import Trial
from tracer.diagnose.weight import weight_of
from tracer.infer.canonical import NESTED
from tracer.infer.families import BY_MODEL_TYPE, NAMED, Family
from tracer.repair.changes import SetField

_SHOWN = frozenset({"arch.mismatch", "tensor.unmapped", "param.unfilled", "config.missing-field"})
_OF_NAMES = frozenset({"tensor.unmapped", "param.unfilled", "arch.mismatch"})
"""Errors that tensors of another class make; with others beside them more than the class is wrong."""
MARKS: Mapping[str, frozenset[str]] = {
    "LlamaForCausalLM": frozenset({"mlp_bias", "pretraining_tp"}),
    "Qwen2ForCausalLM": frozenset({"max_window_layers", "use_sliding_window"}),
    "Qwen3ForCausalLM": frozenset({"max_window_layers", "use_sliding_window"}),
    "DeepseekV2ForCausalLM": frozenset({"topk_method", "mlp_bias"}),
    "DeepseekV3ForCausalLM": frozenset({"num_nextn_predict_layers", "rope_interleave"}),
}
"""Fields that few of Transformers' config classes have, by the class of the model."""
_BIASES = (".bias", ".bias[q]", ".bias[k]", ".bias[v]")
_OF_A_WHOLE = "ForConditionalGeneration"
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
    if (contradicted := _contradicted(state, declared)) is not None:
        yield replace(contradicted, answers=tuple(_absent(case)))
    if (nested := _nested(case, declared)) is not None:
        yield nested
    if not state.names or not (state.codes & _SHOWN or unknown):
        return
    for name in classes(state):
        slip = unknown and (_is_cased(declared, name) or SequenceMatcher(None, declared, name).ratio() >= _NEAR)
        if _is_cased(declared, name) and case.complained("no-architecture"):
            continue  # `named_classes` has the words
        if name != declared and not unknown and _is_its_own(state, declared, name):
            yield Hypothesis(_lost(declared, name), assume=_as(name))
        elif name != declared and (slip or not unknown):
            yield Hypothesis(_worded(declared, name, slip), _changes(state, name), evident=slip)
    if (other := _without_rows(state)) is not None:
        yield Hypothesis(_seen(other), _changes(state, other.evidence["tensors"]), unplanned=True)


def is_another(case: Case) -> bool:
    """Whether the files show that config.json names a class, or a type, that the tensors are not of."""
    state = case.original
    said = state.config.get("architectures")
    declared = said[0] if isinstance(said, list) and said and isinstance(said[0], str) else ""
    return "arch.mismatch" in state.codes or _contradicted(state, declared) is not None


def _absent(case: Case) -> Iterator[Complaint]:
    """Complaints of parameters without a tensor of which none has one here: another class made them."""
    for said in case.complained("no-tensor"):
        if said.names and not any(is_here(name, case.state.names) for name in said.names):
            yield said


def classes(state: State) -> list[str]:
    """Classes whose rows all have their tensors: the one first that `model_type` names, then the one inferred."""
    names = [arch.name for arch in installed() if mismatch(arch, state.names) is None]
    inferred = next((field.value for field in state.inferred.fields if field.name == "architectures"), None)
    first = inferred[0] if isinstance(inferred, list) and inferred else inferred
    kind = state.config.get("model_type")
    return sorted(dict.fromkeys(names), key=lambda name: (_type_of(name) != kind or kind is None, name != first))


def _is_cased(declared: str, name: str) -> bool:
    """Whether two names differ in capital letters alone; some engines know both."""
    return declared != name and declared.lower() == name.lower()


def _type_of(name: str) -> str | None:
    """The `model_type` that goes with a class, where it is known."""
    return NAMED[name].model_type if name in NAMED else None


def is_of_another_type(state: State) -> bool:
    """Whether `model_type` names another class than `architectures` does, and the tensors are of that class."""
    kind, declared = state.config.get("model_type"), state.config.get("architectures")
    own = _type_of(declared[0]) if isinstance(declared, list) and declared and isinstance(declared[0], str) else None
    return kind not in (None, own) and any(_type_of(name) == kind for name in classes(state))


def _contradicted(state: State, declared: str) -> Hypothesis | None:
    """A type that is another class's than `architectures` names, whose tensors these are not."""
    kind, own = state.config.get("model_type"), NAMED.get(declared)
    other = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    if own is None or other is None or other.name == own.name or state.burden[0] or not state.tensors:
        return None
    wrong = _wrong_as(state, other)
    if not wrong:
        return None
    told = (
        f"config.json says architectures = [{declared}] and model_type = {kind}: vLLM goes by the first, Transformers'"
        f" Auto classes by the second and make {other.name} of it; the tensors are those of {declared}: as"
        f" {other.name}, {wrong}"
    )
    finding = Finding("config.conflict", "error", "model_type", told, {"found": kind, "tensors": own.model_type},
                      f"set model_type to {own.model_type}")  # fmt: skip
    return Hypothesis(finding, (SetField("model_type", own.model_type),), evident=True)


def _wrong_as(state: State, other: Family) -> str:
    """What is wrong with the tensors as those of another class; empty where nothing is, or nobody knows."""
    if any(arch.name == other.name for arch in installed()):
        after = _as(other.name)(state)
        worst = next((finding for finding in after.symptoms if finding.severity == "error"), None)
        return worst.message if worst else ""
    names = state.inferred.names
    absent = [way for way in other.has if names and not any(module in names.modules for module in way.split("|"))]
    return f"no {absent[0].replace('|', ' or ')} is stored" if absent else ""


def _nested(case: Case, declared: str) -> Hypothesis | None:
    """The class of a model's text over the config of the whole: its fields are there, a level below."""
    state = case.state
    section = next((key for key in NESTED if isinstance(state.config.get(key), dict)), None)
    if section is None or state.refused is None or not any(arch.name == declared for arch in installed()):
        return None
    inner, lacking = state.config[section], state.refused.evidence.get("field")
    lacks = [f.evidence["field"] for f in state.symptoms if f.code == "config.missing-field" and "field" in f.evidence]
    there = [field for field in dict.fromkeys([lacking, *lacks]) if field in inner]
    if not there:
        return None
    beside = [key for key, value in state.config.items() if isinstance(value, dict) and key.endswith("_config")]
    beside = [key for key in beside if key not in (section, "quantization_config")]
    told = (
        f"config.json says {declared}, which reads its fields at the top, and has them in {section}"
        f" ({there[0]} = {json.dumps(inner[there[0]])}){f', beside {beside[0]}' if beside else ''}: it is the config"
        f" of a whole, of which {declared} is the text, and the class and model_type are those of the text alone"
    )
    finding = Finding("arch.mismatch", "error", declared, told, {"field": "architectures", "found": declared},
                      f"set architectures and model_type to those of the whole, not of its {section}")  # fmt: skip

    def whole(state: State) -> State:  # whichever class that is: one without rows
        return changed(state, edited(state.checkpoint, (SetField("architectures", [_OF_A_WHOLE]),)))

    said = tuple(case.complained("attribute", "no-field"))
    return Hypothesis(finding, assume=whole, evident=True, unplanned=True, answers=said)


def _is_its_own(state: State, declared: str, other: str) -> bool:
    """Whether all of config.json means the class that it names, so that what that class lacks here is lost rather than
    never there: its type, and fields that only one of the two configs has.

    Biases alone are dropped by nobody, and a flag in most classes: without such fields, they say which class it is.
    """
    if state.config.get("model_type") != _type_of(declared) or state.codes - {"param.unfilled"}:
        return False
    own, others = MARKS.get(declared, frozenset()), MARKS.get(other, frozenset())
    mine, theirs = (bool(marks & state.config.keys()) for marks in (own - others, others - own))
    if mine != theirs:
        return mine
    return any(not finding.message.partition(" has no source")[0].endswith(_BIASES) for finding in state.symptoms)


def _as(name: str) -> Assumption:
    """For the trial alone: as which class the tensors that are here are whole."""

    def assumed(state: State) -> State:
        return changed(state, edited(state.checkpoint, _changes(state, name)))

    return assumed


def _lost(declared: str, name: str) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        claimed, total = trial.claimed
        if trial.after.plan is None or trial.loses or claimed < total or trial.after.burden[0]:
            return None
        gone = [each for each in trial.gone if each.code == "param.unfilled"]
        if not gone:
            return None
        lost = sum(map(weight_of, gone))
        what = f"{gone[0].message}{f'; the same holds of {len(gone) - 1} more' if len(gone) > 1 else ''}"
        told = (
            f"{what}: {lost} tensors that {declared} always has are lost, as config.json means {declared} throughout;"
            f" if they never were there, the class is another: with {name}, {claimed} of {total} tensors are claimed"
            " and fit. Which of the two it is no file here says, so that nothing is repaired"
        )
        return replace(gone[0], message=told, evidence={**gone[0].evidence, "missing": lost, "alternative": name},
                       fix=f"fetch the files again; else {_set(trial.before, name)}")  # fmt: skip

    return worded


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


def _changes(state: State, name: str) -> tuple[SetField, ...]:
    """The class, and the type that goes with it where it is known."""
    kind = _type_of(name)
    changes: tuple[SetField, ...] = (SetField("architectures", [name]),)
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
        fix = f"{_set(trial.before, name)} and the rest to match"
        return replace(other, message=f"{told}{_type(trial, name)}", fix=fix)

    return worded


def _type(trial: Trial, name: str) -> str:
    """What `model_type` says of it, where it takes a side."""
    kind, declared = trial.before.config.get("model_type"), trial.before.config.get("architectures")
    own = _type_of(declared[0]) if isinstance(declared, list) and declared and isinstance(declared[0], str) else None
    if kind is None or kind == own or _type_of(name) != kind:
        return ""
    return f"; model_type says {kind} too, which is not the type of {declared[0] if declared else 'it'}"


def _set(state: State, name: str) -> str:
    """All that changes: Transformers' Auto classes go by `model_type`, vLLM by `architectures`."""
    set_to = (f"{each.field} to {json.dumps(each.value)}" for each in _changes(state, name))
    return f"set {' and '.join(set_to)}"


def _worded(declared: str, name: str, slip: bool) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        claimed, total = trial.claimed
        wrong = trial.after.burden[0]
        if trial.after.plan is None or trial.loses or claimed < total or (slip and wrong):
            return None
        code = "arch.unknown" if slip else "arch.mismatch"
        cased = _is_cased(declared, name)
        known = f"no class is called {declared}" if slip else f"the tensors are not those of {declared}"
        seen = next((each for each in trial.before.inferred.findings if each.code == code), None)
        said = f"config.json says {declared or 'no class'}, {known}" if seen is None or slip else seen.message
        if cased:
            known = f"{name} differs in its capital letters alone, and not every engine knows both"
            said = f"config.json says {declared}; {known}"
        fits = f"with {name}, {claimed} of {total} tensors are claimed{'' if wrong else ' and fit'}"
        fits += "" if cased else _type(trial, name)
        return Finding(
            code, "warning" if cased else "error", declared or "architectures", f"{said}: {fits}",
            {"field": "architectures", "found": declared, "tensors": name}, _set(trial.before, name),
        )  # fmt: skip

    return worded
