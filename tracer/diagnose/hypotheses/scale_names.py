"""One scale under two names: `weight_scale` and `weight_scale_inv`, which most toolchains both multiply with.

`_inv` means opposite things to different tools, so that the values decide where they can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil

from mappings.findings import Finding
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import EIGHTS, Module, modules_of
from tracer.diagnose.hypotheses.samples import numbers, raw
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State
from tracer.diagnose.trial import Trial
from tracer.repair.changes import Rename

_OTHER = {"weight_scale": "weight_scale_inv", "weight_scale_inv": "weight_scale"}
_SHOWN = {"tensor.unmapped", "param.unfilled"}
_PLAUSIBLE = (1e-4, 1.0)
"""Deviations that weights of a layer have."""


def propose(case: Case) -> Iterator[Hypothesis]:
    """Where rows miss one name and do not know the other, or an error asks for the one that is not here."""
    state = case.state
    asked = [
        (each, name) for each in case.complained("attribute") for name in (*each.names, *each.fields) if name in _OTHER
    ]
    unclaimed = {str(finding.subject).rpartition(".")[2] for finding in state.symptoms if finding.code in _SHOWN}
    wanted = [name for _, name in asked] or [_OTHER[leaf] for leaf in unclaimed if leaf in _OTHER]
    for name in dict.fromkeys(wanted):
        stored = _OTHER[name]
        modules = {key: each for key, each in modules_of(state.tensors).items() if stored in each.leaves}
        if modules and not any(each.endswith(f".{name}") for each in state.names):
            answers = tuple(complaint for complaint, each in asked if each == name)
            yield from _renamed(state, modules, stored, name, answers)


def _renamed(
    state: State, modules: Mapping[str, Module], stored: str, name: str, answers: tuple[Complaint, ...]
) -> Iterator[Hypothesis]:  # fmt: skip
    grid = next((each for each in modules.values() if each.kind == "fp8-block" and _is_grid(each, stored)), None)
    if grid is None:
        return
    shape = _grid(grid, stored)
    renamed = {each.leaves[stored].name: f"{key}.{name}" for key, each in modules.items()}
    yield Hypothesis(
        _worded(renamed, stored, name, shape, _measured(state, grid, stored)), (Rename(renamed),),
        evident=bool(answers),
        answers=answers,
    )  # fmt: skip


def _is_grid(module: Module, stored: str) -> bool:
    """Whether the scale has rows and columns as the weight has."""
    return all(len(module.leaves[leaf].shape) == 2 and module.leaves[leaf].nbytes for leaf in ("weight", stored))


def _grid(module: Module, stored: str) -> str:
    """The blocks that the two shapes make."""
    weight, scale = module.leaves["weight"].shape, module.leaves[stored].shape
    sides = [1 << max(0, (ceil(w / s) - 1).bit_length()) for w, s in zip(weight, scale, strict=True)]
    told = " x ".join(map(str, sides))
    return f"a grid of {'x'.join(map(str, scale))} on a {'x'.join(map(str, weight))} FP8 weight: blocks of {told}"


def _measured(state: State, module: Module, stored: str) -> str:
    """The deviation of one row, multiplied and divided; empty where nothing can be read or nothing is told apart."""
    weight, scale = module.leaves["weight"], module.leaves[stored]
    factors = numbers(state, scale)
    codes = raw(state, weight)
    if not factors or codes is None or weight.dtype not in EIGHTS or factors[0] <= 0:
        return ""
    width = min(weight.shape[1], ceil(weight.shape[1] / scale.shape[1]))
    deviation = _deviation(codes[:width], weight)
    by, over = deviation * factors[0], deviation / factors[0]
    low, high = _PLAUSIBLE
    if low <= by <= high and not low <= over <= high:
        return f"; w x s has a deviation of {by:.2g}, w / s of {over:.2g}: it is a multiplier, and the rename is safe"
    return f"; w x s has a deviation of {by:.2g}, w / s of {over:.2g}: check that it is a multiplier before renaming"


def _deviation(codes: bytes, weight: TensorInfo) -> float:
    import numpy as np

    from tracer.values.decoding import decode

    decoded = decode(np.frombuffer(codes, np.uint8), weight.dtype)
    return float(np.std(np.asarray(decoded, np.float32))) if decoded is not None else 0.0


def _worded(renamed: Mapping[str, str], stored: str, name: str, shape: str, measured: str) -> Wording:
    def worded(trial: Trial) -> Finding:
        edit = f"replace `{stored}` by `{name}`"
        count = f"{len(renamed)} of {len(renamed)} map, 0 collisions"
        first = next(iter(renamed))
        return Finding(
            "name.rewrite", "error", first,
            f"{edit}: {count}; one toolchain calls the scale of a block so, another so, and it is {shape}{measured}",
            {"edit": edit, "mapped": len(renamed), "of": len(renamed)}, f"{edit} in the names ({count})",
        )  # fmt: skip

    return worded
