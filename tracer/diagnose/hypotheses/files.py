"""Files that are not here, or not what their names say: what is unfilled would be in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.claims import Claims
from mappings.findings import Finding
from mappings.names import blank, collapse
from mappings.plan import LoadPlan
from mappings.synth import describe, synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State, changed
from tracer.diagnose.trial import Trial
from tracer.diagnose.weight import same

_ABSENT = ("index.missing-file", "index.missing-tensor", "shards.gap", "file.lfs-pointer")
"""Files that are wanted and not here, as far as they can be thought to be back."""
_TOLD = "index.missing-file"
"""Says itself what should be in the file."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """One for each finding of an absent file: everything that rows miss and it may hold is there."""
    for finding in case.state.symptoms:
        if finding.code in _ABSENT and finding.severity == "error" and case.state.plan is not None:
            yield Hypothesis(_worded(finding), assume=_Restored(finding), evident=True)
        elif finding.code == "layers.missing" and (asked := _asked_for(case, finding)):
            yield Hypothesis(_lost(finding), assume=_Restored(finding), evident=True, answers=asked)


def _asked_for(case: Case, finding: Finding) -> tuple[Complaint, ...]:
    """Complaints of tensors of these layers. Where an index is here and has none of them, they were never saved."""
    layers = finding.evidence.get("layers", ())
    if case.state.checkpoint.index is not None:
        return ()
    return tuple(
        complaint for complaint in case.complained("no-tensor")
        if any(blank(name)[1][:1] and blank(name)[1][0] in layers for name in complaint.names)
    )  # fmt: skip


def _lost(finding: Finding) -> Wording:
    def worded(trial: Trial) -> Finding:
        binding = trial.before.plan.binding if trial.before.plan else None
        wanted = len(finding.evidence["layers"])
        here = len(binding.domains["layer"]) - wanted if binding else 0
        field = binding.arch.layers if binding else "num_hidden_layers"
        told = f"{finding.message}; {here} layers are in the headers, {wanted} in none of them"
        fix = f"fetch the files that are missing, or set {field} to {here} if the model was cut"
        return replace(finding, message=told, fix=fix)

    return worded


class _Restored:
    """The state with the tensors of an absent file, in the shapes that rows give them."""

    def __init__(self, finding: Finding) -> None:
        self._finding = finding

    def __call__(self, state: State) -> State:
        plan = state.plan
        assert plan is not None, "only asked where there is one"
        back = _promised(state, plan) or _missing(state, plan)
        checkpoint = state.checkpoint
        tensors, names = [*checkpoint.tensors, *back], list(dict.fromkeys([*state.names, *(t.name for t in back)]))
        rest = [each for each in checkpoint.findings if not same(each, self._finding)]
        whole = replace(checkpoint, tensors=tensors, names=names, findings=rest)
        kept = tuple(each for each in state.files if not same(each, self._finding))
        return changed(replace(state, files=kept), whole)


def _promised(state: State, plan: LoadPlan) -> list[TensorInfo]:
    """Those that the index has in files that are not here."""
    held = {tensor.name for tensor in state.tensors}
    absent = [name for name in state.names if name not in held]
    return [_imagined(t.name, t.dtype, t.shape) for t in describe(absent, Claims(plan.binding).claim(absent))]


def _missing(state: State, plan: LoadPlan) -> list[TensorInfo]:
    """Without an index: all that the rows miss may be in the file whose number is left out."""
    held = set(state.names)
    return [_imagined(t.name, t.dtype, t.shape) for t in synthesise(plan.binding) if t.name not in held]


def _imagined(name: str, dtype: str, shape: tuple[int, ...]) -> TensorInfo:
    return TensorInfo(name, dtype, tuple(shape), None, None, 0)


def _worded(finding: Finding) -> Wording:
    def worded(trial: Trial) -> Finding:
        back = {t.name for t in trial.after.tensors} - {t.name for t in trial.before.tensors}
        if not back or not trial.gone or finding.code == _TOLD:
            return finding
        templates = [template for template, _ in collapse(sorted(back))]
        told = f"{', '.join(templates[:3])}{f' and {len(templates) - 3} more' if len(templates) > 3 else ''}"
        held = f"{len(back)} tensors that nothing else here has are in what is missing: {told}"
        return replace(finding, message=f"{finding.message}; {held}")

    return worded
