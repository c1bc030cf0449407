"""Weights that a trainer never gathered: empty placeholders, and one rank's share under a parameter's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from mappings.findings import Finding
from mappings.synth import synthesise
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.question import folded
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.infer.canonical import canonical

_MOST_RANKS = 4096
_LEAVES = ("weight", "bias")
_FEWEST = 4
"""Weights of one number each that are no coincidence."""


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    if not state.tensors:
        return
    hollow = [t for t in state.tensors if 0 in t.shape and t.name.endswith(_LEAVES)]
    single = [t for t in state.tensors if t.shape == (1,) and t.name.endswith("weight")]
    share = _share(state, hollow)
    if share is not None:
        yield Hypothesis(share, assume=_Gathered(), evident=True)
    elif hollow or len(single) >= max(_FEWEST, len(state.tensors) // 2):
        yield Hypothesis(_placeholders(state, hollow or single), assume=_Gathered(), evident=True)


def _placeholders(state: State, hollow: Sequence[TensorInfo]) -> Finding:
    known = next((f for f in state.findings if f.code == "trainer.placeholder"), None)
    if known is not None:
        return known
    weights = [tensor for tensor in state.tensors if tensor.name.endswith(_LEAVES)]
    told = (
        f"{len(hollow)} of {len(weights)} weights are {list(hollow[0].shape)}: {folded(t.name for t in hollow)};"
        " DeepSpeed ZeRO-3 leaves such placeholders where parameters were partitioned when they were saved, and"
        " nothing can be recovered from them"
    )
    return Finding(
        "trainer.placeholder", "error", hollow[0].name, told, {"tensors": [t.name for t in hollow]},
        "save with stage3_gather_16bit_weights_on_model_save, or run zero_to_fp32.py on the trainer's checkpoint",
    )  # fmt: skip


# --- a share of several parameters under the name of the first ---


def _share(state: State, hollow: Sequence[TensorInfo]) -> Finding | None:
    """A matrix that is one row of numbers, of which so many make it and all parameters that are empty."""
    shapes = _shapes(state)
    rows = [t for t in state.tensors if len(t.shape) == 1 and len(shapes.get(t.name, ())) > 1 and prod(t.shape) > 1]
    for row in rows[:1]:
        names = [row.name, *(t.name for t in hollow)]
        sizes = {name: prod(shapes[name]) for name in names if name in shapes}
        total = sum(sizes.values())
        ranks = total // row.shape[0] if len(sizes) == len(names) and total % row.shape[0] == 0 else 0
        if not 1 < ranks <= _MOST_RANKS:
            continue
        sum_ = " + ".join(f"{name} ({size:,})" for name, size in sizes.items())
        told = (
            f"{row.name} is one row of {row.shape[0]:,} numbers = 1/{ranks} of {total:,}: {sum_}; this is one rank's"
            f" slice of an FSDP flat parameter over {ranks} ranks, and the other {ranks - 1} are not here"
        )
        return Finding(
            "trainer.flat-shard", "error", row.name, told,
            {"tensors": names, "elements": row.shape[0], "ranks": ranks, "model": total},
            "save with a full state dict (FULL_STATE_DICT), or gather the slices of all ranks",
        )  # fmt: skip
    return None


def _shapes(state: State) -> Mapping[str, tuple[int, ...]]:
    """What every tensor should be: by the rows, or the tables and norms by config.json alone."""
    if state.plan is not None:
        return {each.name: tuple(each.shape) for each in synthesise(state.plan.binding)}
    sizes = canonical(state.config)
    vocab, hidden = sizes.get("vocab"), sizes.get("hidden")
    if type(vocab) is not int or type(hidden) is not int:
        return {}
    tables = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "lm_head.weight", "embed_in.weight")
    return {
        t.name: (vocab, hidden) if t.name.endswith(tables) else (hidden,)
        for t in state.tensors if t.name.endswith((*tables, "norm.weight", "ln_f.weight", "norm_f.weight"))
    }  # fmt: skip


class _Gathered:
    """The checkpoint with every tensor in the shape that it should have."""

    def __call__(self, state: State) -> State:
        shapes = _shapes(state)
        whole = [replace(t, shape=shapes.get(t.name, t.shape)) for t in state.tensors]
        return changed(state, replace(state.checkpoint, tensors=whole))
