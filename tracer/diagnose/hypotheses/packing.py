"""What the doctor says of packed weights, tried: another word for who packed them, scales that are back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.synth import synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.doctor.quantisation import FP8_SCALES, METHOD
from tracer.repair.changes import SetField


def propose(case: Case) -> Iterator[Hypothesis]:
    """Both findings stand as they are; a trial shows what follows from them."""
    state = case.state
    for finding in state.symptoms:
        if finding.code == "config.conflict" and finding.evidence.get("field") == METHOD:
            if isinstance(state.config.get(METHOD.partition(".")[0]), dict):
                yield Hypothesis(finding, (SetField(METHOD, finding.evidence["found"]),))
        elif finding.code == "quant.missing" and state.plan is not None and _scales(state):
            yield Hypothesis(finding, assume=_restored)


def _restored(state: State) -> State:
    """With the scales that rows expect, in the shapes that they have there."""
    checkpoint, back = state.checkpoint, _scales(state)
    names = [*state.names, *(tensor.name for tensor in back)]
    return changed(state, replace(checkpoint, tensors=[*checkpoint.tensors, *back], names=names))


def _scales(state: State) -> list[TensorInfo]:
    held = set(state.names)
    return [
        TensorInfo(each.name, each.dtype, tuple(each.shape), None, None, 0)
        for each in (synthesise(state.plan.binding) if state.plan else ())
        if each.name not in held and each.name.rpartition(".")[2] in FP8_SCALES
    ]
