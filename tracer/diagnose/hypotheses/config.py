"""Fields of config.json that the tensors contradict: each is tried with the value that the tensors have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from mappings.findings import Finding
from mappings.registry import candidates
from mappings.sizes import ConfigError
from tracer.diagnose.case import Case
from tracer.diagnose.fitting import Fitted, Fitting, Sample
from tracer.diagnose.hypotheses import heads
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.infer.canonical import ALIASES, NESTED, text_config
from tracer.infer.families import LLAMA_SPELLING, NAMED
from tracer.repair.changes import SetField

_SHOWN = frozenset({
    "shape.mismatch", "param.unfilled", "tensor.unmapped", "layers.missing", "layers.extra", "experts.missing",
    "config.conflict", "config.missing-field", "config.invalid", "config.missing", "tie.conflict", "vocab.padded",
    "quant.missing", "quant.orphan", "arch.mismatch",
})  # fmt: skip
"""What a wrong field looks like."""
_NO_FIELDS = ("architectures", "model_type", "torch_dtype", "dtype", "quantization_config")
"""Fields that others try, or that no tensor contradicts."""
_DEEPEST = 8192
"""Layers; published models have fewer than 200."""
_OF_LOST_FILES = frozenset({"index.missing-file", "index.missing-tensor", "index.total-size", "shards.gap"})
_MOST = 6
"""Values that are tried as a plan, of those that rows work out."""


class _Value(NamedTuple):
    """One field with another value."""

    path: str
    value: Any
    finding: Finding | None = None
    """What inference says of it, where it does."""
    witness: str = ""
    """A tensor that asks for it."""
    rivals: tuple[str, ...] = ()
    """Other fields under which all shapes would fit as well."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """Values that disagree with the tensors, those first of which `tracer.infer` names the evidence."""
    state = case.state
    if not state.tensors or not (state.codes & _SHOWN or case.complained("shape", "no-field")) or _is_garbled(state):
        return
    inferred = [*_conflicts(state), *_differing(state)]
    fitting = _fitting(state)
    found = inferred if fitting is None else _by_rows(fitting, inferred)
    spared = (_is_no_field, _is_of_a_lost_head, _is_of_one_table, _is_no_depth)
    found = [each for each in found if not any(spares(state, each) for spares in spared)]
    tried: set[tuple[str, str]] = set()
    for each in found:
        key = (each.path, repr(each.value))
        if key not in tried and not (each.path.endswith(ALIASES["tie"]) and heads.pooled(state)):
            tried.add(key)
            yield Hypothesis(_worded(each), (SetField(each.path, each.value),))
    lacking = [each for each in inferred if _said(state.config, each.path) is None]
    if state.refused is not None and len(lacking) > 1:
        yield Hypothesis(_all_worded(lacking), tuple(SetField(each.path, each.value) for each in lacking))


def _is_garbled(state: State) -> bool:
    """Whether config.json is there and cannot be read: what it says is not known, so that no field of it is wrong."""
    return any(damage.file == "config.json" for damage in state.patient.damaged)


def is_our_word(state: State, field: str) -> bool:
    """Whether only our rows have the flag: no config of that class can be mended by it."""
    if _said(state.config, field) is not None:
        return False
    family = next((NAMED[name] for name in _declared(state) if name in NAMED), None)
    return family is not None and field not in {family.spelled(canonical) for canonical in LLAMA_SPELLING}


def _is_no_field(state: State, each: _Value) -> bool:
    return type(each.value) is bool and is_our_word(state, each.path)


def _is_of_a_lost_head(state: State, each: _Value) -> bool:
    """Whether it would tie a head that is stored, that files say there was, or that is not all that is missing."""
    if not (each.path.endswith(ALIASES["tie"]) and each.value is True):
        return False
    absent = [finding for finding in state.symptoms if finding.code == "param.unfilled"]
    return heads.stored(state) or bool(state.codes & _OF_LOST_FILES) or len(absent) > 1


def _is_of_one_table(state: State, each: _Value) -> bool:
    """Whether it would fit a table that was resized alone, and no longer the one that config.json agrees with."""
    return each.path.endswith(ALIASES["vocab"]) and _said(state.config, each.path) in [*heads.rows(state)]


def _is_no_depth(state: State, each: _Value) -> bool:
    """Whether it would be so many layers that the plan alone, of all their parameters, fills the memory."""
    return each.path.endswith(ALIASES["layers"]) and isinstance(each.value, int) and each.value > _DEEPEST


def _declared(state: State) -> list[str]:
    said = state.config.get("architectures")
    return [name for name in said if isinstance(name, str)] if isinstance(said, list) else []


# --- what inference says ---


def _conflicts(state: State) -> Iterator[_Value]:
    """What inference holds against config.json, and the value that the tensors have."""
    for finding in state.inferred.findings:
        name, value = finding.evidence.get("field"), finding.evidence.get("tensors")
        if finding.code == "tie.conflict" and finding.severity == "error":
            yield _Value(_path(state.config, "tie_word_embeddings"), True, finding)
        elif isinstance(name, str) and type(value) in (int, bool) and name not in _NO_FIELDS:
            yield _Value(_path(state.config, name), value, finding if finding.severity != "info" else None)


def _differing(state: State) -> Iterator[_Value]:
    """Every field that inference has a value for, and config.json another, or none."""
    said = text_config(state.config)
    for field in state.inferred.fields:
        sure = field.confidence in ("certain", "likely")
        if not sure or field.name in _NO_FIELDS or type(field.value) not in (int, bool):
            continue
        if said.get(field.name) != field.value:
            yield _Value(_path(state.config, field.name), field.value, None, field.evidence)


def _path(config: Mapping[str, Any], name: str) -> str:
    """Where the field is, or should be: in the part of a nested config that is of text."""
    for section in NESTED:
        inner = config.get(section)
        if isinstance(inner, dict) and (name in inner or name not in config):
            return f"{section}.{name}"
    return name


# --- what rows say ---


def _fitting(state: State) -> Fitting | None:
    """The rows that config.json means, and of their dialects the one that fits best; None where there are none."""
    config = state.prepared.configured.config if state.prepared else state.config
    dtype = state.prepared.run.dtype if state.prepared and state.prepared.run.dtype else "BF16"
    try:
        known = candidates(config)
    except ConfigError:
        return None
    sample = Sample(state.names, state.shapes)
    # A dialect that no name is of binds where the right one cannot.
    found = (Fitting(arch, config, sample, dtype) for arch in known)
    return min(found, key=lambda each: (not each.claimed, each.misfit))


def _by_rows(fitting: Fitting, inferred: list[_Value]) -> list[_Value]:
    """What inference thinks of, where rows fit better with it; then what they work out themselves."""
    solved = fitting.better()
    whole = [each for each in solved if not each.misfit]
    helpful = [each for each in inferred if "." in each.path or each.finding or _helps(fitting, each)]
    own = [_Value(each.field, each.value, None, each.witness) for each in solved[:_MOST]]
    return [each._replace(rivals=_rivals(each, whole)) for each in (*helpful, *own)]


def _helps(fitting: Fitting, each: _Value) -> bool:
    return fitting.fitted(each.path, each.value).misfit < fitting.misfit


def _rivals(each: _Value, whole: list[Fitted]) -> tuple[str, ...]:
    if not any((fit.field, fit.value) == (each.path, each.value) for fit in whole):
        return ()
    return tuple(f"{fit.field} = {json.dumps(fit.value)}" for fit in whole if fit.field != each.path)


# --- in words ---


def _worded(each: _Value) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        if trial.loses:
            return None
        finding = each.finding or _own(each, trial)
        others = f"{' or '.join(each.rivals)} alone would fit as well" if each.rivals else ""
        shown = "; ".join(filter(None, (_shown(trial, json.dumps(each.value)), others, _if_tied(each))))
        return replace(
            finding, severity="error", message=f"{finding.message}; {shown}" if shown else finding.message,
            evidence={**finding.evidence, "field": each.path, "value": each.value},
            fix=f"set {each.path} to {json.dumps(each.value)}{_caution(each, finding)}",
        )  # fmt: skip

    return worded


def _caution(each: _Value, finding: Finding) -> str:
    """What else may be meant by the same shapes, or is wrong with a value that looks right."""
    said = finding.evidence.get("found")
    if isinstance(said, str) and said == str(each.value):
        return ", a number: it is a text now"
    fewer = isinstance(said, int) and isinstance(each.value, int) and each.value < said
    if fewer and each.path.rpartition(".")[2] in ALIASES["layers"]:
        return f" if the model has no more; if it has {said}, layers are lost: look for the file that held them"
    return ""


def _if_tied(each: _Value) -> str:
    """The other way in which a head can be absent."""
    if not (each.path.endswith(ALIASES["tie"]) and each.value is True):
        return ""
    return (
        "that is right if the head was tied and only the flag is wrong; if it was not, the head is lost (look for the"
        " file that held it), and tied the model computes something else"
    )


def _shown(trial: Trial, values: str) -> str:
    """What the trial has come to: `with 8, 291 of 291 tensors are claimed and fit`."""
    if trial.after.plan is None:
        return ""
    claimed, total = trial.claimed
    wrong = any(finding.severity == "error" for finding in trial.after.findings)
    return f"with {values}, {claimed} of {total} tensors are claimed{'' if wrong else ' and fit'}"


def _said(config: Mapping[str, Any], path: str) -> Any:
    said: Any = config
    for key in path.split("."):
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _own(each: _Value, trial: Trial) -> Finding:
    """A finding for what inference saw and did not object to, or what rows alone ask for."""
    said, value = _said(trial.before.config, each.path), json.dumps(each.value)
    because = f": {each.witness}" if each.witness else ""
    if said is None:
        told = f"config.json has no {each.path}{_taken(each.path, trial)}, the tensors ask for {value}{because}"
        return Finding("config.missing-field", "error", each.path, told, {"tensors": each.value})
    told = f"config.json says {each.path} = {json.dumps(said)}, the tensors {value}{because}"
    return Finding("config.conflict", "error", each.path, told, {"found": said, "tensors": each.value})


def _taken(path: str, trial: Trial) -> str:
    """What the class makes of a field that is not there."""
    plan = trial.before.plan
    taken = plan.binding.arch.silent.get(path) if plan else None
    return "" if plan is None or taken is None else f", for which {plan.binding.arch.name} takes {taken}"


def _all_worded(lacking: list[_Value]) -> Wording:
    def worded(trial: Trial) -> Finding:
        told = ", ".join(f"{each.path} = {json.dumps(each.value)}" for each in lacking)
        names = ", ".join(each.path for each in lacking)
        return Finding(
            "config.missing-field", "error", trial.before.refused.subject if trial.before.refused else lacking[0].path,
            f"config.json lacks {names}; {_shown(trial, 'the values that the tensors have')}",
            {"fields": {each.path: each.value for each in lacking}}, f"add {told}",
        )  # fmt: skip

    return worded
