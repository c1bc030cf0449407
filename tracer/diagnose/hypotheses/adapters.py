"""LoRA adapters where a model was expected, adapters that bind nothing, and merges that were none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mappings.findings import Finding
from mappings.synth import synthesise
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import Module, modules_of
from tracer.diagnose.hypotheses.question import counted, folded
from tracer.diagnose.hypotheses.whereabouts import place_of
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.doctor.adapter import adapter_of, pairs_of
from tracer.errors import InputError

_PREFIX = "base_model.model."
_INNER = ".base_layer."
"""What PEFT calls the layer that it has wrapped."""
_FACTORS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")
_FEWEST = 4


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.original
    remark = next((f for f in state.findings if f.code == "adapter.not-a-model" and f.severity == "info"), None)
    if remark is not None and not state.tensors:
        yield from _alone(case, remark)
    elif any(_is_factor(tensor.name) for tensor in state.tensors):
        yield _unmerged(case)
    else:
        yield from _still_packed(case)


def _is_factor(name: str) -> bool:
    return any(part in _FACTORS for part in name.split("."))


# --- nothing but an adapter ---


def _alone(case: Case, remark: Finding) -> Iterator[Hypothesis]:
    opened = adapter_of(case.original.checkpoint.files)
    tensors = opened.tensors if opened else []
    stored = [tensor.name for tensor in tensors]
    for complaint in case.complaints:
        found = _inserted(complaint, stored) or _unbound(complaint, stored)
        if found is not None:
            yield found
            return
    if (bare := _beside_base(case, remark.evidence.get("base"), tensors)) is not None:
        yield bare
        return
    said = tuple(
        case.complained(
            "no-parameter", "no-tensor", "unexpected", "no-file", "no-field", "no-architecture", "garbage", "other"
        )
    )
    if not said or not tensors:
        return
    base = remark.evidence.get("base")
    what = f"LoRA adapter of {_ranks(tensors)}" + (f" for {base}" if base else "")
    told = (
        f"this is a {what}, not a model: {counted(len(pairs_of(tensors)), 'pair')} of A and B in {len(tensors)}"
        " tensors, and no base weights"
    )
    finding = Finding("adapter.not-a-model", "error", remark.subject, told, dict(remark.evidence),
                      f"serve {base or 'the base model'} and attach the adapter, or merge the two")  # fmt: skip
    yield Hypothesis(finding, evident=True, answers=said)


def _ranks(tensors: Sequence[TensorInfo]) -> str:
    ranks = sorted({pair.rank for pair in pairs_of(tensors).values() if pair.rank})
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    return f"ranks {ranks[0]} to {ranks[-1]}" if ranks else "no rank"


# --- other names ---


def _inserted(said: Complaint, stored: Sequence[str]) -> Hypothesis | None:
    """The adapter's name put before each `weight`, be it a part of a word."""
    known = set(stored)
    for name in said.names[:16]:
        for called in dict.fromkeys(name.split(".")[-2:-1]):
            undone = name.replace(f"{called}.weight", "weight")
            inside = [part for part in name.split(".") if part.endswith(called) and part != called]
            if undone not in known or not inside:
                continue
            whole = next(part for part in undone.split(".") if part not in name.split("."))
            told = (
                f"`{inside[0]}.{_after(name, inside[0])}` is no module: the adapter's name, `{called}`, was inserted"
                f" inside a word, since every `weight` was replaced by `{called}.weight`, that of {whole} too; the"
                f" tensor is stored as {undone}, and the adapter is whole"
            )
            finding = Finding(
                "name.rewrite",
                "error",
                name,
                told,
                {"edit": "replace whole components", "stored": undone},
                "use a version of PEFT that replaces whole components, or rename the module",
            )
            return Hypothesis(finding, evident=True, answers=(said,))
    return None


def _after(name: str, part: str) -> str:
    segments = name.split(".")
    return segments[segments.index(part) + 1]


def _unbound(said: Complaint, stored: Sequence[str]) -> Hypothesis | None:
    """The names that were looked for are others than those that are stored."""
    wanted = list(dict.fromkeys(bare for name in said.names if _is_factor(name) and (bare := _bare(name))))
    if said.kind not in ("adapter", "no-tensor", "unexpected") or len(wanted) < _FEWEST:
        return None
    finding = _no_overlap(wanted, stored, f"the {len(wanted)} that were looked for")
    return Hypothesis(finding, evident=True, answers=(said,)) if finding else None


def _beside_base(case: Case, base: object, tensors: Sequence[TensorInfo]) -> Hypothesis | None:
    """The base model is here, and has no module of which the adapter has factors."""
    files = case.original.checkpoint.files
    if not isinstance(base, str) or not base or files.folder is None:
        return None
    folder = files.folder / base
    try:
        names = open_checkpoint(folder).names if folder.is_dir() else []
    except (InputError, OSError):
        return None
    modules = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
    sides = dict.fromkeys(part for t in tensors for part in t.name.split(".") if part in _FACTORS)
    wanted = [f"{_PREFIX}{module}.{side}.weight" for module in modules for side in sides]
    stored = [tensor.name for tensor in tensors]
    if set(stored) & set(wanted):
        return None
    finding = _no_overlap(wanted, stored, f"the modules of {base}")
    said = tuple(case.complained("adapter", "garbage"))
    return Hypothesis(finding, evident=True, answers=said) if finding else None


def _no_overlap(wanted: Sequence[str], stored: Sequence[str], of: str) -> Finding | None:
    """What one edit would bind, where that is more than binds as it is."""
    held = {_bare(name): name for name in stored}
    bound = len(held.keys() & set(wanted))
    edit, made = _edit(list(held), set(wanted))
    if len(made) <= bound:
        return None
    first = next(iter(made))
    told = (
        f"{bound} of {len(stored)} adapter tensors bind to {of}; {edit}: {len(made)} of {len(stored)} bind, 0"
        f" collisions; {held[first]} would then be {made[first]}; until then the adapter is a no-op, and the base model"
        " answers"
    )
    evidence = {"bound": bound, "tensors": len(stored), "edit": edit}
    return Finding("adapter.no-overlap", "error", held[first], told, evidence, f"{edit} in the adapter's names")


def _bare(name: str) -> str:
    """Without the name that an adapter has in memory: `lora_A.default.weight` is stored as `lora_A.weight`."""
    segments = name.split(".")
    if len(segments) > 2 and segments[-3] in _FACTORS:
        del segments[-2]
    return ".".join(segments)


def _edit(held: Sequence[str], wanted: set[str]) -> tuple[str, dict[str, str]]:
    """Strip or add one run of components: the edit that binds most."""
    best: tuple[str, dict[str, str]] = "", {}
    first = held[0].split(".") if held else []
    tail = next((name for name in wanted if name.split(".")[-5:] == first[-5:]), None)
    if tail is None:
        return best
    for edit, made in _between(held, first, tail.split(".")):
        bound = {old: new for old, new in made.items() if new in wanted}
        if len(bound) > len(best[1]) and len(set(bound.values())) == len(bound):
            best = edit, bound
    return best


def _between(held: Sequence[str], one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """All ways to get from one name to the other by a run that is there too many, or is lacking."""
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    count = len(longer) - len(shorter)
    for at in range(len(shorter)) if count else ():
        run = ".".join(longer[at : at + count])
        if [*longer[:at], *longer[at + count :]] != list(shorter):
            continue
        before = "".join(f"{part}." for part in longer[:at])
        if longer is one:
            yield (
                f"strip `{run}.`",
                {n: before + n.removeprefix(f"{before}{run}.") for n in held if n.startswith(f"{before}{run}.")},
            )
        else:
            yield f"add `{run}.`", {n: f"{before}{run}.{n.removeprefix(before)}" for n in held if n.startswith(before)}


# --- a model with factors in it ---


def _unmerged(case: Case) -> Hypothesis:
    state = case.original
    factors = [tensor for tensor in state.tensors if _is_factor(tensor.name)]
    wrapped = sum(tensor.name.startswith(_PREFIX) for tensor in state.tensors)
    said = tuple(
        each for each in case.complained("no-parameter", "unexpected", "no-tensor", "garbage")
        if not each.names or any(_is_factor(name) for name in each.names) or wrapped
    )  # fmt: skip
    shape = (
        f"the state dict of a PEFT model that was never merged ({wrapped} names begin with {_PREFIX})" if wrapped
        else "a model with the factors of an adapter beside its base weights, which were not merged"
    )  # fmt: skip
    rest = len(state.tensors) - len(factors)
    beside = f" beside {rest} weights; whoever leaves the factors out serves the base model" if rest else (
        ", and no base weights: an adapter under the name of a model"
    )  # fmt: skip
    told = (
        f"this is {shape}: {counted(len(pairs_of(factors)), 'pair')} of lora_A and lora_B of {_ranks(factors)}"
        f" ({folded(t.name for t in factors)}){beside}"
    )
    finding = Finding(
        "adapter.not-a-model",
        "error",
        factors[0].name,
        told,
        {"tensors": len(factors), "pairs": len(pairs_of(factors))},
        "merge the adapter (merge_and_unload) and save again, or serve the base and attach it",
    )
    return Hypothesis(finding, assume=_Merged(), evident=True, answers=said)


class _Merged:
    """The weights alone, under the names of the base; those of the base itself where there are none."""

    def __call__(self, state: State) -> State:
        if all(_is_factor(tensor.name) for tensor in state.tensors) and state.plan is not None:
            made = synthesise(state.plan.binding)
            tensors = [TensorInfo(each.name, each.dtype, tuple(each.shape), None, None, 0) for each in made]
            return changed(state, replace(state.checkpoint, tensors=tensors, names=[each.name for each in made]))
        tensors = [
            replace(tensor, name=tensor.name.removeprefix(_PREFIX).replace(_INNER, "."))
            for tensor in state.tensors if not _is_factor(tensor.name)
        ]  # fmt: skip
        return changed(state, replace(state.checkpoint, tensors=tensors, names=[tensor.name for tensor in tensors]))


# --- merged, and still in 4 bits ---


def _still_packed(case: Case) -> Iterator[Hypothesis]:
    """A weight of bitsandbytes for which the engine has no place: it was built plain, from a config that says how."""
    modules: Mapping[str, Module] | None = None
    for complaint in case.complained("no-parameter"):
        weights = [name for name in complaint.names[:8] if name.endswith(".weight")]
        if not weights:
            continue
        modules = modules if modules is not None else modules_of(case.original.tensors)
        place = place_of(weights[0], case.original.names)
        module = modules.get(place.names[0].removesuffix(".weight")) if place else None
        if place is None or module is None or not module.kind.startswith("bitsandbytes"):
            continue
        count = sum(each.kind == module.kind for each in modules.values())
        weight = module.leaves["weight"]
        told = (
            f"the folder still contains 4-bit base weights of bitsandbytes: {count} weights like {weight.name},"
            f" {weight.dtype} {list(weight.shape)}, with their quant_state beside them ({_method(case.original)}):"
            " what was saved is the quantised base of a QLoRA training, and no engine builds such a layer without its"
            " state"
        )
        finding = Finding(
            "quant.unsupported",
            "error",
            place.subject,
            told,
            {"count": count},
            "load the base in 16 bits, merge the adapter into that (merge_and_unload), and save again",
        )
        yield Hypothesis(finding, evident=True, answers=(complaint,))
        return


def _method(state: State) -> str:
    said = state.config.get("quantization_config")
    method = said.get("quant_method") if isinstance(said, dict) else None
    return f"config.json says quant_method = {json.dumps(method)}" if method else "config.json does not say so"
