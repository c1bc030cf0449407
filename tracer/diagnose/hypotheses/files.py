"""Files that are not here, or not what their names say: what is unfilled would be in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.claims import Claims
from mappings.findings import Finding
from mappings.names import collapse
from mappings.plan import LoadPlan
from mappings.synth import describe, synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State, changed
from tracer.diagnose.trial import Trial
from tracer.diagnose.weight import same

_ABSENT = ("index.missing-file", "index.missing-tensor", "shards.gap", "file.lfs-pointer")
"""Files that are wanted and not here, as far as they can be thought to be back."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """One for each finding of an absent file: everything that rows miss and it may hold is there."""
    for finding in case.state.symptoms:
        if finding.code in _ABSENT and finding.severity == "error" and case.state.plan is not None:
            yield Hypothesis(_worded(finding), assume=_Restored(finding), evident=True)


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
        if not back or not trial.gone:
            return finding
        templates = [template for template, _ in collapse(sorted(back))]
        told = f"{', '.join(templates[:3])}{f' and {len(templates) - 3} more' if len(templates) > 3 else ''}"
        held = f"{len(back)} tensors that nothing else here has are in what is missing: {told}"
        return replace(finding, message=f"{finding.message}; {held}")

    return worded
