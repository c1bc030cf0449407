"""Experts one by one or stacked in one tensor: what a table expects against what is stored, for each submodule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from mappings.findings import Finding
from mappings.names import blank, collapse, is_index, runs
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import is_side
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypothesis import Hypothesis, Wording
from tracer.diagnose.state import State, changed
from tracer.diagnose.trial import Trial

_PARTS: Mapping[str, tuple[str, ...]] = {
    "gate_up_proj": ("gate_proj", "up_proj"), "gate_up": ("gate", "up"), "w13": ("w1", "w3"),
}  # fmt: skip
"""What is stacked as one, and its parts, first the one that is activated."""
_OWN = {"w13": ("gate_up_proj", "w13", "gate_proj", "w1"), "w2": ("down_proj", "w2")}
"""Engines' parameters for all experts, and what they are made of."""
_SHOWN = {"tensor.unmapped", "param.unfilled", "experts.missing", "arch.mismatch"}


@dataclass(frozen=True)
class Stacks:
    """Modules `...experts` with a tensor for all of their experts, and those with one for each."""

    tensors: Sequence[TensorInfo]

    @cached_property
    def stacked(self) -> dict[str, list[TensorInfo]]:
        """Module `...experts` -> its tensors of three dimensions."""
        found: dict[str, list[TensorInfo]] = {}
        for tensor in self.tensors:
            home, _, leaf = tensor.name.rpartition(".")
            if leaf == "weight":
                home, _, leaf = home.rpartition(".")
            if home.endswith("experts") and len(tensor.shape) == 3:
                found.setdefault(home, []).append(tensor)
        return found

    @cached_property
    def single(self) -> dict[str, set[int]]:
        """Module `...experts` -> the numbers of its experts."""
        found: dict[str, set[int]] = {}
        for tensor in self.tensors:
            home, dot, rest = tensor.name.partition(".experts.")
            number = rest.partition(".")[0]
            if dot and is_index(number):
                found.setdefault(f"{home}.experts", set()).add(int(number))
        return found


# --- from the files, where rows expect the other ---


def propose(case: Case) -> Iterator[Hypothesis]:
    state = case.state
    if not state.codes & _SHOWN or not any(".experts." in name for name in state.names):
        return
    stacks = Stacks(state.tensors)
    if stacks.stacked:
        yield Hypothesis(_worded(stacks), assume=_Unstacked(stacks))


class _Unstacked:
    """The same checkpoint with a tensor for each expert and part."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def __call__(self, state: State) -> State:
        old = [tensor for own in self._stacks.stacked.values() for tensor in own]
        gone = {tensor.name for tensor in old}
        new = [each for tensor in old for each in _each(tensor)]
        kept = [tensor for tensor in state.tensors if tensor.name not in gone]
        names = [*(name for name in state.names if name not in gone), *(tensor.name for tensor in new)]
        return changed(state, replace(state.checkpoint, tensors=[*kept, *new], names=names))


def _each(tensor: TensorInfo) -> Iterator[TensorInfo]:
    """`experts.gate_up_proj` [E, 2I, H] -> `experts.{e}.gate_proj.weight` [I, H], and up."""
    name = tensor.name.removesuffix(".weight")
    home, _, leaf = name.rpartition(".")
    experts, rows, inner = tensor.shape
    parts = _PARTS.get(leaf, (leaf,))
    size = rows // len(parts)
    for expert in range(experts):
        for part in parts:
            yield replace(tensor, name=f"{home}.{expert}.{part}.weight", shape=(size, inner),
                          nbytes=tensor.nbytes // experts // len(parts))  # fmt: skip


def _worded(stacks: Stacks) -> Wording:
    def worded(trial: Trial) -> Finding | None:
        first = next(iter(stacks.stacked.values()))[0]
        names = [tensor.name for own in stacks.stacked.values() for tensor in own]
        claimed, total = trial.claimed
        return Finding(
            "experts.layout", "error", collapse(names)[0][0],
            f"{_arithmetic(first)}: experts are stacked ({folded(names)}), and the rows expect one tensor an expert;"
            f" unstacked, {claimed} of {total} tensors are claimed", {"tensors": names[:256], "count": len(names)},
            "save it with the original format (save_original_format=True), or use rows for stacked experts",
        )  # fmt: skip

    return worded


def _arithmetic(tensor: TensorInfo) -> str:
    """The shape in words: `256x1024x2048 = 256 experts, gate and up of 512 each, hidden 2048`."""
    experts, rows, inner = tensor.shape
    leaf = tensor.name.removesuffix(".weight").rpartition(".")[2]
    spelled = "x".join(map(str, tensor.shape))
    if leaf in _PARTS:
        half = rows // 2
        return (
            f"{leaf} {spelled} = {experts} experts, gate and up of {half} each, hidden {inner}"
            f" (rows 0:{half} of each are gate, {half}:{rows} up)"
        )
    return f"{leaf} {spelled} = {experts} experts"


# --- from words ---


def explain(question: Question) -> Hypothesis | None:
    """An error that names an expert, or all of them."""
    said = question.said
    if ".experts." not in f".{said}.":
        return None
    stacks = Stacks(question.state.tensors)
    home, _, rest = said.partition("experts.")
    number = rest.partition(".")[0]
    if is_index(number):
        return _wanted_single(question, stacks, home, int(number))
    if rest.startswith(("w13_", "w2_")):
        return _of_engine(question, stacks, home, rest)
    return _has_stacked(question, stacks)


def _has_stacked(question: Question, stacks: Stacks) -> Hypothesis | None:
    """The stacked name itself is what nobody knows."""
    place = question.place
    if place is None:
        return _wanted_stacked(question, stacks)
    tensor = next((t for own in stacks.stacked.values() for t in own if t.name == place.names[0]), None)
    if tensor is None:
        return None
    return question.answer(
        "experts.layout", place.subject,
        f"stacked layout: {_arithmetic(tensor)}; the engine's table expects a name for each expert"
        f" ({counted(len(place.kin), 'tensor')}, without a `.weight` at the end)",
        {"tensors": list(place.kin)[:256], "experts": tensor.shape[0]},
        "use an engine that reads stacked experts, or save the model in its original format"
        " (save_original_format=True)",
    )  # fmt: skip


def _wanted_stacked(question: Question, stacks: Stacks) -> Hypothesis | None:
    """All experts in one name, and here they are one by one, at least in this submodule.

    Two shapes are not of it: who has one of the checkpoint's has stacked its experts himself, as Transformers 5 does.
    """
    if question.complaint.kind == "shape":
        return None
    home, _, leaf = question.said.removesuffix(".weight").rpartition(".")
    parts = _PARTS.get(leaf, (leaf,))
    within = [module for module in stacks.single if _is_home(module, home.removesuffix("experts"))]
    ends = tuple(f".{part}.weight" for part in parts)
    homes = [(name, name.partition(".experts.")[0] + ".experts") for name in question.names if name.endswith(ends)]
    names = [name for name, module in homes if module in within]
    if not names:
        return None
    body = "; ".join(f"{part}: {how}" for part, how in _by_submodule(stacks).items())
    count = len(stacks.single[within[0]])
    return question.answer(
        "experts.layout", collapse(names)[0][0],
        f"{body}; the table expects {_of_home(home)} stacked in one tensor: {question.said} is no tensor, and"
        f" {folded(names)} ({count} experts) were never read",
        {"tensors": names[:256], "experts": count},
        "join them along a new first axis, or use a table for experts one by one",
    )  # fmt: skip


def _wanted_single(question: Question, stacks: Stacks, home: str, number: int) -> Hypothesis | None:
    """One expert's name, and here they are stacked, at least in this submodule."""
    if question.place is not None:
        return _has_single(question, stacks)
    within = [own for module, own in stacks.stacked.items() if _is_home(module, home)]
    if not within:
        return None
    leaf = question.said.removesuffix(".weight").rpartition(".")[2]
    names = [t.name for own in within for t in own if leaf in (_last(t), *_PARTS.get(_last(t), ()))]
    if not names:
        return None
    experts = within[0][0].shape[0]
    body = "; ".join(f"{part}: {how}" for part, how in _by_submodule(stacks).items())
    wanted = len(question.complaint.names)
    told = (
        f"{body}; the table expects {_of_home(home)} one expert at a time: {folded(question.complaint.names, 2)}"
        f" {'have' if wanted > 1 else 'has'} no tensor, and {folded(names)} were never read"
    )
    if number and (rank := _rank(number, experts)):
        told += f"; {number} comes first since it is the first expert of rank {rank[0]} of {rank[1]}"
    if wanted > 1:
        told += f"; {_sizes(question, within)}"
    return question.answer("experts.layout", collapse(names)[0][0], told,
                           {"tensors": names[:256], "experts": experts, "missing": wanted},
                           "cut the stacked tensors along their first axis, or use a table for stacked"
                           " experts")  # fmt: skip


def _has_single(question: Question, stacks: Stacks) -> Hypothesis | None:
    """One by one, whole, and the engine has no such parameter, though all that comes before was loaded."""
    place = question.place
    assert place is not None
    odd = question.state.symptoms or place.fused or any(is_side(name) for name in question.names)
    home = place.names[0].partition(".experts.")[0] + ".experts"
    if odd or question.complaint.kind != "no-parameter" or home not in stacks.single:
        return None
    numbers = stacks.single[home]
    return question.answer(
        "experts.layout", place.subject,
        f"experts one by one: {len(numbers)} of them ({runs(numbers)}) in {counted(len(stacks.single), 'module')}; the"
        f" engine's table expects them stacked in one tensor, and has no {place.said}; the checkpoint is whole",
        {"tensors": list(place.kin)[:256], "experts": len(numbers)},
        "use an engine that reads a name for each expert, or join them along a new first axis",
    )  # fmt: skip


def _sizes(question: Question, within: Sequence[Sequence[TensorInfo]]) -> str:
    """The elements on either side."""
    unread = sum(prod(t.shape) for own in within for t in own)
    single = sum(len(list(_each(t))) for own in within for t in own)
    return f"{sum(map(len, within))} tensors unread, {single} parameters unfilled, {unread:,} elements on either side"


def _last(tensor: TensorInfo) -> str:
    return tensor.name.removesuffix(".weight").rpartition(".")[2]


def _is_home(module: str, home: str) -> bool:
    return blank(module)[0].endswith(blank(f"{home}experts")[0])


def _of_home(home: str) -> str:
    return "MTP" if home.split(".", maxsplit=1)[0] in ("mtp", "nextn") or ".mtp" in home else "them"


def _by_submodule(stacks: Stacks) -> dict[str, str]:
    """Body and draft layers apart."""
    found: dict[str, str] = {}
    for how, modules in (("stacked", stacks.stacked), ("one by one", stacks.single)):
        for module in modules:
            part = "MTP block" if "mtp" in module.split(".") else "body"
            found[part] = how if found.get(part, how) == how else "both"
    return found


def _rank(number: int, experts: int) -> tuple[int, int] | None:
    """The last rank whose first expert this is, with the fewest ranks."""
    for ranks in (2, 4, 8, 16, 32, 64, 128):
        if experts % ranks == 0 and number == experts // ranks * (ranks - 1):
            return ranks - 1, ranks
    return None


def _of_engine(question: Question, stacks: Stacks, home: str, rest: str) -> Hypothesis | None:
    """`experts.w13_bias`: the engine's own name for all experts of a layer."""
    param, _, leaf = rest.partition("_")
    bias = leaf.split(".")[0] == "bias"
    names = [
        name for name in question.names
        if _is_home(name.partition(".experts.")[0] + ".experts", home) and ".experts." in name and _feeds(name, param,
                                                                                                          bias)
    ]  # fmt: skip
    if not names or not bias:
        return None
    shape = list(question.state.shapes.get(names[0], ()))
    layers = runs(indices[0] for name in names if (indices := blank(name)[1]))
    return question.answer(
        "tensor.unmapped", collapse(names)[0][0],
        f"experts have biases in this architecture: {counted(len(names), 'tensor')} ({folded(names, 1)}, {shape},"
        " layers"
        f" {layers}) are what {question.said.rpartition('.')[2]} is made of, and the expert kernel that was chosen has"
        " built no bias; leaving them out changes the model",
        {"tensors": names[:256], "count": len(names)},
        "choose another quantised kernel for experts (one with biases), or another scheme",
    )  # fmt: skip


def _feeds(name: str, param: str, bias: bool) -> bool:
    last = name.rpartition(".")[2]
    if last == "bias":
        return bias and name.rpartition(".")[0].rpartition(".")[2] in _OWN.get(param, ())
    return last.endswith("_bias") == bias and last.removesuffix("_bias") in _OWN.get(param, ())


# --- a number that is a product ---


def count(question: Question) -> Hypothesis | None:
    """`failed to map GGUF parameters (18288)`: layers x projections x experts."""
    stacks = [t for t in question.state.tensors if len(t.shape) == 3 and "_exps" in t.name]
    if not stacks or "map" not in question.complaint.text.lower():
        return None
    experts = stacks[0].shape[0]
    layers = {blank(t.name)[1][0] for t in stacks if blank(t.name)[1]}
    kinds = {blank(t.name)[0] for t in stacks}
    for number in question.complaint.numbers:
        for mapped in (1, 0):
            if number == len(layers) * len(kinds) * (experts - mapped):
                return _factored(question, stacks, number, len(layers), len(kinds), experts, mapped)
    return None


def _factored(
    question: Question, stacks: Sequence[TensorInfo], number: int, layers: int, kinds: int, experts: int, mapped: int
) -> Hypothesis:  # fmt: skip
    names = [t.name for t in stacks]
    product = f"{number:,} unmapped = {layers} layers x {kinds} projections x {experts - mapped} experts"
    which = (
        f"expert 0 is mapped everywhere, 1 to {experts - 1} nowhere: the stacked tensor was bound to one expert's"
        " name instead of to all of them"
        if mapped
        else "no expert is mapped: the table has no row for stacked experts"
    )
    return question.answer(
        "experts.layout", collapse(names)[0][0],
        f"{product}; {which} ({folded(names)}); the file is whole",
        {"number": number, "layers": layers, "projections": kinds, "experts": experts},
        "use a loader that cuts the stacked tensors along their first axis",
    )  # fmt: skip
