"""GPTQ's activation order under tensor parallelism: a rank's inputs refer to groups whose scales another rank has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from mappings.findings import Finding
from mappings.names import blank, collapse
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.asked_ranks import ranks_of
from tracer.diagnose.hypotheses.samples import numbers
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State
from tracer.doctor.quantisation import declared
from tracer.infer.parallel.groups import ROW_PARALLEL


def propose(case: Case) -> Iterator[Hypothesis]:
    """Asked where several ranks are: of a file alone there is nothing wrong with it."""
    tp = ranks_of(case)
    if tp < 2 or case.state is not case.original:
        return
    state = case.original
    scheme, _ = declared(state.config, state.checkpoint.files)
    if scheme is None or scheme.get("desc_act") is not True:
        return
    by_name = {tensor.name: tensor for tensor in state.tensors}
    cut = [t for t in state.tensors if t.name.endswith(".g_idx") and t.name.split(".")[-2] in ROW_PARALLEL]
    for tensor in sorted(cut, key=lambda each: -each.nbytes):
        found = _judged(state, tensor, by_name, tp, [each.name for each in cut])
        if found is not None:
            yield Hypothesis(found, evident=True, answers=tuple(case.complained("garbage")))
            return


def _judged(
    state: State, tensor: TensorInfo, by_name: dict[str, TensorInfo], tp: int, all_cut: list[str]
) -> Finding | None:  # fmt: skip
    order = numbers(state, tensor)
    scales = by_name.get(tensor.name.removesuffix("g_idx") + "scales")
    if not order or scales is None or len(order) % tp or all(a <= b for a, b in itertools.pairwise(order)):
        return None
    groups, own = scales.shape[0], len(order) // tp
    used = len(set(order[:own]))
    given = -(-groups // tp)
    if used <= given:
        return None
    alike = [name for name in all_cut if blank(name)[0] == blank(tensor.name)[0]]
    return Finding(
        "tp.quant-group", "error", collapse(alike)[0][0],
        f"{tensor.name} is not sorted (desc_act): with tp {tp} the {own} inputs of rank 0 refer to {used} of {groups}"
        f" groups, and a slice of the scales holds groups 0 to {given - 1} only; {len(all_cut)} row-parallel modules"
        " are"
        " so, column-parallel ones are not affected",
        {"tp": tp, "groups": groups, "used": used, "inputs": own, "tensors": len(all_cut)},
        "keep the scales of row-parallel layers whole on every rank, use tp 1, or quantise with desc_act false",
    )  # fmt: skip
