"""Tensors that a model has no place for, and parameters that no tensor fills, where the files themselves are in order.

An error names one of hundreds; what it stands for is a template, where it occurs, and what kind of thing it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mappings.architectures import BUILT_IN
from mappings.findings import Finding
from mappings.names import blank, collapse, is_index, runs
from mappings.rows import Row, Skip
from tracer.diagnose.case import Case
from tracer.diagnose.edited import edited
from tracer.diagnose.hypotheses.modules import is_side, split
from tracer.diagnose.hypotheses.question import Question, counted, folded
from tracer.diagnose.hypotheses.samples import all_zero
from tracer.diagnose.hypothesis import Hypothesis
from tracer.diagnose.state import State, changed
from tracer.repair.changes import Change, Drop, Rename

_HEADS = ("lm_head", "output", "embed_out", "embed_tokens", "shared")
"""Tables that are tied, or not: others ask after them."""
_COMMON = 3
"""Architectures with the same row: what so many have is no feature that a reader may lack."""
_OLD = {"gamma": "weight", "beta": "bias"}


# --- derived data ---


def derived(question: Question) -> Hypothesis | None:
    """What an engine computes for itself: rotary tables, masks, wavelengths."""
    place = question.place
    why = place and next((_derived_why(name) for name in place.names), None)
    if place is None or not why:
        return None
    shape = question.state.shapes.get(place.names[0], ())
    told = (
        f"{place.subject} ({list(shape)}) is derived data, {why}: the engine need not read it; it is left out on"
        " purpose, and every weight is there without it"
    )
    return question.answer(
        "tensor.derived", place.subject, told, {"tensors": len(place.kin)}, "ignore it, or use an engine that does",
        (Drop(_derived_beside(question.names, place.kin, why), why),), severity="info",
    )  # fmt: skip


def _derived_beside(names: Sequence[str], kin: Sequence[str], why: str) -> tuple[str, ...]:
    """All leaves of these modules that are derived from the same: a loader stops at one, and then at the next."""
    modules = {split(name)[0] for name in kin}
    leaves: dict[str, list[str]] = {}
    for name in names:
        module, leaf = split(name)
        if module in modules:
            leaves.setdefault(leaf, []).append(name)
    return tuple(name for held in leaves.values() if _derived_why(held[0]) == why for name in held)


def _derived_why(name: str) -> str | None:
    """As any architecture's rows have it."""
    template = blank(name)[0]
    for arch in BUILT_IN:
        for entry in arch.entries:
            if (
                isinstance(entry, Skip)
                and entry.derived
                and blank(re.sub(r"\{[^}]*\}", "0", entry.name))[0] == template
            ):
                return entry.why
    return None


# --- biases that a quantiser made ---


def invented_bias(question: Question) -> Hypothesis | None:
    """A bias beside packed weights, where the model has none."""
    place = question.place
    if place is None or split(place.names[0])[1] != "bias":
        return None
    module = question.module_of(place.names[0])
    if module.kind == "plain":
        return None
    own = [each.leaves["bias"] for each in question.modules.values() if each.kind != "plain" and "bias" in each.leaves]
    zero = all_zero(question.state, own)
    names = tuple(tensor.name for tensor in own)
    shared = f"{counted(len(own), 'bias').replace('biass', 'biases')} beside packed weights ({folded(names)})"
    if zero:
        told = (
            f"{shared} have no place in the model, and all are exactly zero: what the quantiser writes for layers"
            " without a bias; safe to leave out"
        )
        return question.answer("tensor.unmapped", place.subject, told, {"tensors": list(names), "zero": True},
                               "leave them out", (Drop(names, "zeros that the quantiser wrote"),))  # fmt: skip
    state = "could not be read, so whether they are zeros is not known" if zero is None else "are not all zero"
    told = (
        f"{shared} have no place in the model that the engine has built, and {state}: leaving them out would lose"
        " what they add"
    )
    return question.answer("tensor.unmapped", place.subject, told, {"tensors": list(names), "zero": False},
                           "use an engine whose layers have biases here")  # fmt: skip


# --- old spellings ---


def old_spelling(question: Question) -> Hypothesis | None:
    """LayerNorm's parameters as TensorFlow had them."""
    place = question.place
    if place is None or split(place.names[0])[1] not in _OLD:
        return None
    renamed = spelled_anew(question.names)
    if not renamed:
        return None
    return question.answer(*_old_told(renamed), changes=(Rename(renamed),))


def spelled_anew(names: Sequence[str]) -> dict[str, str]:
    """gamma and beta under their later names, where none of these is taken."""
    known = set(names)
    pairs = ((name, *split(name)) for name in names)
    made = {name: f"{module}.{_OLD[leaf]}" for name, module, leaf in pairs if leaf in _OLD}
    return {} if set(made.values()) & known else made


def _old_told(renamed: Mapping[str, str]) -> tuple[str, str, str, dict[str, object], str]:
    edit = "replace `gamma` by `weight` and `beta` by `bias`"
    count = f"{len(renamed)} of {len(renamed)} map, 0 collisions"
    first, new = next(iter(renamed.items()))
    told = (
        f"{edit}: {count}; these are the spellings that LayerNorm's weight and bias had before 2019, and none of the"
        f" later ones is taken; `{first}` is then `{new}`"
    )
    return "name.rewrite", first, told, {"edit": edit, "mapped": len(renamed), "of": len(renamed)}, f"{edit} ({count})"


# --- parameters without a source ---


def absent(question: Question) -> Hypothesis | None:
    """A parameter whose very module occurs in no tensor: the model definition, or the config, asks for too much."""
    complaint = question.complaint
    if complaint.kind != "no-tensor" or not complaint.names:
        return None
    lone = [name for name in complaint.names if not question.places or name not in {p.said for p in question.places}]
    segments = {segment for name in question.names for segment in name.split(".")} | {"weight", "bias"}
    word = next((part for name in lone for part in name.split(".")[:-1]
                 if not part.isdigit() and part not in segments and not _is_fused(part)), None)  # fmt: skip
    if word is None or word in _HEADS:
        return None
    own = [name for name in complaint.names if word in name.split(".")]
    rest = {part for name in own for part in name.split(".") if not part.isdigit() and not _is_fused(part)}
    if not rest <= segments | {word}:
        return None  # another model's names
    fields = _counting(question.config, word)
    asked = {field: value for field, value in fields.items() if value}
    said = ", ".join(f"{field} = {value}" for field, value in fields.items()) or f"no field for {word}"
    told = (
        f"{counted(len(own), 'parameter')} ({folded(own)}) have no source: all are of one submodule, {word}, and none"
        f" of {len(question.names)} tensors has that word; config.json says {said}"
    )
    if asked:
        told += ": the checkpoint lacks what its config.json promises"
        fix = "look for the missing files, or correct config.json"
    else:
        told += ": the engine's definition of the model is wrong for this checkpoint"
        told += ", and the checkpoint is complete" if fields else ", in which nothing asks for them"
        fix = f"create {word} only where the config asks for it (a newer engine, or another model class)"
    return question.answer("param.unfilled", collapse(own)[0][0], told, {"missing": len(own), "word": word}, fix)


def _is_fused(segment: str) -> bool:
    from tracer.diagnose.hypotheses.whereabouts import fused_parts

    return segment in fused_parts() or segment.startswith(("w13_", "w2_"))


def _counting(config: Mapping[str, object], word: str) -> dict[str, object]:
    """Fields that count such modules: `shared_experts` and `n_shared_experts`."""
    stems = [part.rstrip("s") for part in word.split("_") if len(part) > 1]
    return {
        field: value for field, value in config.items()
        if (value is None or type(value) in (int, bool)) and stems and all(stem in field for stem in stems)
    }  # fmt: skip


def inner_head(question: Question) -> Hypothesis | None:
    """Two parameters of one leaf: the inner one has a tensor, the outer one has none."""
    complaint = question.complaint
    if complaint.kind != "no-tensor" or len(complaint.names) != 1 or question.state.plan is not None:
        return None
    place = question.place
    if place is None or not place.stripped or place.fused or len(place.kin) != 1:
        return None
    inner = place.names[0]
    shape = list(question.state.shapes.get(inner, ()))
    told = (
        f"{place.said} (outer) is unfilled, while the checkpoint has {inner} {shape} (inner) once: the engine has built"
        " two of them, and the outer one is the one that is used; every other parameter was filled, so one tensor has"
        " the wrong depth"
    )
    return question.answer(
        "param.unfilled", place.said, told, {"inner": inner, "missing": 1},
        f"rename {inner} to {place.said}, or take the outer one out of the model class", (Rename({inner: place.said}),),
    )  # fmt: skip


# --- templates that nobody knows ---


def new_template(question: Question) -> Hypothesis | None:
    """Tensors that are there, in every layer or some, and that the engine has no place for; the files are in order."""
    place = question.place
    if place is None or question.complaint.kind not in ("no-parameter", "unexpected", "other"):
        return None
    if is_side(place.names[0]) or place.fused or question.complaint.names[0].count(".") < 1:
        return None
    if "name.rewrite" in question.state.codes:
        return None  # every name is unknown as it is spelt
    alike = _siblings(question, place.kin)
    known = _known_rows(alike)
    if len(known) >= _COMMON or _is_claimed(question, place.names[0]):
        return None
    rows = " and ".join(known[:2])
    where = _where(question.names, alike)
    told = f"{counted(len(alike), 'tensor')} ({folded(alike)}), {where}, {_shape(question, alike)}"
    sibling = f"; the rows of {rows} have them" if rows else ""
    if place.stripped and not place.added:
        told += (
            f"; `{place.stripped}` was stripped before {place.said} was looked for, so it is the table of"
            f" {place.stripped.rstrip('.')} that lacks it{sibling}; the checkpoint is whole"
        )
        fix = "use a version of the engine whose class for this module has these parameters"
    else:
        told += (
            f" match no row of the reader{sibling}: a feature that its definition of the architecture does not"
            " have, and no damaged file; rows alone would load the numbers, the forward pass must use them too"
        )
        fix = f"use a version of the engine that knows {_leafs(alike)} of this architecture"
    return question.answer("tensor.unmapped", place.subject, told, {"tensors": list(alike)[:256], "count": len(alike)},
                           fix, assume=Without(alike))  # fmt: skip


def propose(case: Case) -> Iterator[Hypothesis]:
    """Every parameter is filled, and there is more: what no row claims, and no other edit has a place for."""
    state = case.state
    if state.plan is None or "tensor.unmapped" not in state.codes or state.codes & _UNFILLED:
        return
    found = [each for each in state.symptoms if each.code == "tensor.unmapped" and each.severity == "error"]
    pairs = zip(state.plan.tensors, state.plan.claims, strict=True)
    names = [tensor.name for tensor, claim in pairs if claim.owner is None]
    if not found or not names or any(map(is_side, names)):
        return
    known = [name for name in _known_rows(names) if name != state.plan.binding.arch.name]
    rows = f"; the rows of {' and '.join(known[:2])} have {'it' if len(found) == 1 else 'such'}" if known else ""
    own = state.plan.binding.arch.name
    told = (
        f"{counted(len(names), 'tensor')} ({folded(names)}), {_where(state.names, names)}, match no row, and every"
        f" parameter is filled without them{rows}: a feature that this definition of {own} does not have, and no"
        " damaged file; rows alone would load the numbers, the forward pass must use them too"
    )
    finding = Finding("tensor.unmapped", "error", found[0].subject, told, {"tensors": names[:256], "count": len(names)},
                      "add rows with --mapping FILE, or a Skip that says why")  # fmt: skip
    yield Hypothesis(finding, assume=Without(names))


_UNFILLED = {"param.unfilled", "arch.mismatch", "experts.missing", "layers.missing"}


class Without:
    """The checkpoint as it would be without some tensors."""

    def __init__(self, names: Sequence[str]) -> None:
        self._change: Change = Drop(tuple(names), "in thought")

    def __call__(self, state: State) -> State:
        return changed(state, edited(state.checkpoint, (self._change,)))


def _siblings(question: Question, kin: Sequence[str]) -> tuple[str, ...]:
    """With those that rows know as little, of a name that differs in its first letter only: q_norm beside k_norm."""
    unmapped = {f.subject for f in question.state.symptoms if f.code == "tensor.unmapped"}
    own = {blank(name)[0] for name in kin}
    twins = {twin for template in own for twin in _twins(template)}
    more = [name for name in question.names if blank(name)[0] in twins - own]
    if question.state.plan is not None and more and not any(collapse(more)[0][0] == subject for subject in unmapped):
        more = []
    return (*kin, *more)


def _twins(template: str) -> Iterator[str]:
    for one, other in (("k_norm", "q_norm"), ("q_norm", "k_norm"), ("attn_k_norm", "attn_q_norm")):
        segments = template.split(".")
        if one in segments:
            yield ".".join(other if segment == one else segment for segment in segments)


def _where(every_name: Sequence[str], names: Sequence[str]) -> str:
    """In which layers, and whether these are all."""
    here = {indices[0] for name in names if (indices := blank(name)[1])}
    first = names[0].split(".")
    at = next((k for k, segment in enumerate(first) if is_index(segment)), None)
    if at is None:
        return "outside of layers"
    stack = ".".join(first[:at]) + "."
    below = (name[len(stack) :].partition(".")[0] for name in every_name if name.startswith(stack))
    every = {int(number) for number in below if is_index(number)}
    return f"in every one of {len(every)} layers" if here == every else f"in layers {runs(here)} of {len(every)}"


def _shape(question: Question, names: Sequence[str]) -> str:
    shapes = dict.fromkeys(question.state.shapes.get(name, ()) for name in names)
    heads = [
        value for field, value in question.config.items() if field in ("num_attention_heads", "num_key_value_heads")
    ]
    told = " and ".join(str(list(shape)) for shape in list(shapes)[:2])
    first = next(iter(shapes))
    return f"{told} ([heads, head_dim])" if len(first) == 2 and first[0] in heads and "norm" in names[0] else told


def _leafs(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(split(name)[0].rpartition(".")[2] for name in names))


def _is_claimed(question: Question, name: str) -> bool:
    """Whether the rows of this very architecture have it."""
    plan = question.state.plan
    if plan is None:
        return False
    return any(t.name == name and claim.owner for t, claim in zip(plan.tensors, plan.claims, strict=True))


def _known_rows(names: Sequence[str]) -> list[str]:
    """Architectures whose rows have the same template."""
    templates = {blank(split(name)[0])[0] for name in names}
    found = [
        arch.name for arch in BUILT_IN for entry in arch.entries
        if isinstance(entry, Row) and blank(re.sub(r"\{[^}]*\}", "0", entry.name))[0] in templates
    ]  # fmt: skip
    return list(dict.fromkeys(found))
