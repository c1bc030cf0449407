"""Fields of config.json that the tensors contradict: each is tried with the value that the tensors have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mappings.findings import Finding
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.infer.canonical import NESTED, text_config
from tracer.repair.changes import SetField

_SHOWN = frozenset({
    "shape.mismatch", "param.unfilled", "tensor.unmapped", "layers.missing", "layers.extra", "experts.missing",
    "config.conflict", "config.missing-field", "config.invalid", "config.missing", "tie.conflict", "vocab.padded",
    "quant.missing", "quant.orphan",
})  # fmt: skip
"""What a wrong field looks like."""
_NO_FIELDS = ("architectures", "model_type", "torch_dtype", "dtype", "quantization_config")
"""Fields that others try, or that no tensor contradicts."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """Values that disagree with the tensors, those first of which `tracer.infer` names the evidence."""
    state = case.state
    if not state.codes & _SHOWN and not case.complained("shape", "no-field"):
        return
    if not state.tensors:
        return
    tried: set[tuple[str, str]] = set()
    for field, value, finding in (*_conflicts(state), *_differing(state)):
        key = (field, repr(value))
        if key not in tried:
            tried.add(key)
            yield Hypothesis(_worded(field, value, finding), (SetField(field, value),))


def _conflicts(state: State) -> Iterator[tuple[str, Any, Finding | None]]:
    """What inference holds against config.json, and the value that the tensors have."""
    for finding in state.inferred.findings:
        name, value = finding.evidence.get("field"), finding.evidence.get("tensors")
        if finding.code == "tie.conflict" and finding.severity == "error":
            yield _path(state.config, "tie_word_embeddings"), True, finding
        elif isinstance(name, str) and type(value) in (int, bool) and name not in _NO_FIELDS:
            yield _path(state.config, name), value, finding


def _differing(state: State) -> Iterator[tuple[str, Any, Finding | None]]:
    """Every field that inference has a value for, and config.json another, or none."""
    said = text_config(state.config)
    for field in state.inferred.fields:
        sure = field.confidence in ("certain", "likely")
        if not sure or field.name in _NO_FIELDS or type(field.value) not in (int, bool):
            continue
        if said.get(field.name) != field.value and _matters(state, field.name):
            yield _path(state.config, field.name), field.value, None


def _matters(state: State, name: str) -> bool:
    """Whether the rows ask for the field, under this name; all do where there are no rows."""
    if state.plan is None:
        return True
    used = state.plan.binding.config.used
    return name in used or name in ("head_dim", "num_key_value_heads", "tie_word_embeddings")


def _path(config: Mapping[str, Any], name: str) -> str:
    """Where the field is, or should be: in the part of a nested config that is of text."""
    for section in NESTED:
        inner = config.get(section)
        if isinstance(inner, dict) and (name in inner or name not in config):
            return f"{section}.{name}"
    return name


def _worded(path: str, value: Any, known: Finding | None) -> Wording:
    def worded(trial: Trial) -> Finding:
        claimed, total = trial.claimed
        fits = f"with {json.dumps(value)}, {claimed} of {total} tensors are claimed" if trial.after.plan else ""
        wrong = sum(finding.severity == "error" for finding in trial.after.findings)
        clean = "and fit" if fits and not wrong else ""
        shown = " ".join(each for each in (fits, clean) if each)
        finding = known if known and known.severity != "info" else _own(path, value, trial)
        return replace(
            finding, severity="error", message=f"{finding.message}; {shown}" if shown else finding.message,
            evidence={**finding.evidence, "field": path, "value": value}, fix=f"set {path} to {json.dumps(value)}",
        )  # fmt: skip

    return worded


def _own(path: str, value: Any, trial: Trial) -> Finding:
    """A finding for what inference saw and did not object to."""
    said: Any = trial.before.config
    for key in path.split("."):
        said = said.get(key) if isinstance(said, dict) else None
    evidence = next((f.evidence for f in trial.before.inferred.fields if f.name == path.rpartition(".")[2]), "")
    if said is None:
        told = f"config.json has no {path}, the tensors have {json.dumps(value)}: {evidence}"
        return Finding("config.missing-field", "error", path, told, {"tensors": value})
    told = f"config.json says {path} = {json.dumps(said)}, the tensors {json.dumps(value)}: {evidence}"
    return Finding("config.conflict", "error", path, told, {"found": said, "tensors": value})
