"""Matrices written the other way round: Conv1D has [in, out], nn.Linear [out, in], and square ones do not show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.findings import Finding
from mappings.names import collapse
from mappings.synth import synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.question import counted, folded
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Transform

_FEWEST = 2
"""Templates that are reversed: one alone may be anything."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """One edit for all of them, the square ones of the same writer with them."""
    state = case.state
    if state.plan is None or "shape.mismatch" not in state.codes:
        return
    expected = {each.name: tuple(each.shape) for each in synthesise(state.plan.binding)}
    inside = [t for t in state.tensors if len(t.shape) == 2 and any(part.isdigit() for part in t.name.split("."))]
    inside = [t for t in inside if t.name in expected and len(expected[t.name]) == 2]
    oblong = [t for t in inside if expected[t.name][0] != expected[t.name][1]]
    turned = [t for t in oblong if t.shape == expected[t.name][::-1]]
    if len(collapse(t.name for t in turned)) < _FEWEST:
        return
    square = [t for t in inside if t.shape[0] == t.shape[1] and t.shape == expected[t.name]] if turned == oblong else []
    names = tuple(t.name for t in (*turned, *square))
    yield Hypothesis(_worded(state, turned, square, expected[turned[0].name]), (Transform(names, "transpose"),))


def _worded(
    state: State, turned: Sequence[TensorInfo], square: Sequence[TensorInfo], expected: tuple[int, ...]
) -> Wording:  # fmt: skip
    first = turned[0]
    rows, columns = expected
    inner, outer = ("in x out", "out x in") if _is_conv1d(state) else ("out x in", "in x out")

    def worded(trial: Trial) -> Finding | None:
        told = (
            f"{counted(len(turned), 'matrix').replace('matrixs', 'matrices')} ({folded(t.name for t in turned)}) are"
            f" stored {outer}, and {state.plan.binding.arch.name if state.plan else 'the model'} expects {inner}:"
            f" {first.name} is {list(first.shape)}, expected [{rows}, {columns}]"
        )
        if square:
            told += (
                f"; the {len(square)} square {folded(t.name for t in square)} cannot show this by shape, but they came"
                " from the same writer: transpose them too"
            )
        claimed, total = trial.claimed
        told += f"; with all of them transposed {claimed} of {total} tensors are claimed"
        subject = collapse(t.name for t in turned)[0][0]
        evidence = {
            "tensors": len(turned),
            "square": len(square),
            "found": list(first.shape),
            "expected": list(expected),
        }
        fix = f"transpose the {len(turned) + len(square)} matrices, the square ones too" if square else "transpose them"
        return Finding("shape.mismatch", "error", subject, told, evidence, fix)

    return worded


def _is_conv1d(state: State) -> bool:
    """Whether the family keeps its matrices as GPT-2's Conv1D does."""
    return any(part in ("c_attn", "c_fc") for name in state.names for part in name.split("."))
