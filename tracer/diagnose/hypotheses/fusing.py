"""Projections that an engine fuses: fused on disk, of one KV head, or of parts that no kernel can hold at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mappings.findings import Finding
from mappings.names import collapse
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.ignored import reconciliation
from tracer.diagnose.hypotheses.modules import OF_CACHE, WORDS, Module, is_side, modules_of, split
from tracer.diagnose.hypotheses.question import Question, counted
from tracer.diagnose.hypotheses.whereabouts import EXPERTS, fused_parts, place_of
from tracer.diagnose.hypothesis import Hypothesis

_FUSED = ("c_attn", "qkv_proj", "query_key_value", "W_pack", "Wqkv", "qkv", "attn_qkv")
"""Queries, keys and values in one tensor, as different families call it."""
_BESIDE = {"bias", *OF_CACHE}
"""Leaves that say nothing of how a weight is stored."""


# --- from the files ---


def propose(case: Case) -> Iterator[Hypothesis]:
    """Parts of one fused module in more than one representation."""
    state = case.original
    if case.state is not state:
        return  # told in the first round already
    if not any(is_side(tensor.name) or tensor.name.endswith(("qweight", "weight_packed")) for tensor in state.tensors):
        return
    modules = modules_of(state.tensors)
    groups = [(fused, parts) for fused, own in fused_parts().items() if (parts := tuple(own))]
    wrong: dict[str, list[tuple[str, dict[str, Module]]]] = {}
    for fused, parts in groups:
        for parent in _parents(modules, parts):
            if (fused in EXPERTS) != (".experts" in parent):
                continue  # engines have names of their own for what experts are made of
            held = {part: modules[f"{parent}.{part}"] for part in parts if f"{parent}.{part}" in modules}
            if len(held) > 1 and len({_representation(each) for each in held.values()}) > 1:
                wrong.setdefault(fused, []).append((parent, held))
    for fused, found in wrong.items():
        listed = reconciliation(state, modules)
        known = listed is not None and all(_is_listed(listed.ignored.covering, held) for _, held in found)
        finding = _mixed(fused, found, known)
        yield Hypothesis(finding, evident=True, answers=tuple(case.complained("garbage")))


def _parents(modules: Mapping[str, Module], parts: tuple[str, ...]) -> Iterator[str]:
    ends = tuple(f".{part}" for part in parts)
    yield from dict.fromkeys(name.rpartition(".")[0] for name in modules if name.endswith(ends))


def _is_listed(covering: object, held: Mapping[str, Module]) -> bool:
    assert callable(covering)
    return all(covering(each.name) is not None for each in held.values() if each.kind == "plain")


def _representation(module: Module) -> tuple[str, str]:
    """The kind and the type of its codes; floats of any width are cast alike."""
    weight = next(
        (module.leaves[leaf] for leaf in ("weight", "qweight", "weight_packed") if leaf in module.leaves), None
    )
    if weight is None or module.kind == "plain":
        return module.kind, ""
    return module.kind, " ".join((weight.dtype, *sorted(set(module.leaves) - _BESIDE)))


def _mixed(fused: str, found: list[tuple[str, dict[str, Module]]], known: bool) -> Finding:
    names = [f"{parent}.{fused}" for parent, _ in found]
    by_kind: dict[str, list[str]] = {}
    for part, module in found[0][1].items():
        by_kind.setdefault(_in_words(module), []).append(part)
    told = " and ".join(
        f"{', '.join(parts)} {'are' if len(parts) > 1 else 'is'} {kind}" for kind, parts in by_kind.items()
    )
    return Finding(
        "fused.mixed", "warning" if known else "error", collapse(names)[0][0],
        f"{fused} needs {', '.join(found[0][1])} in one representation, and {told}: no fused kernel can hold both"
        f" ({counted(len(names), 'module')})",
        {"modules": names[:64], "count": len(names), "kinds": dict(by_kind.items())},
        "quantise all parts of it alike, or none of them",
    )  # fmt: skip


def _in_words(module: Module) -> str:
    if module.kind == "plain":
        return f"plain {module.leaves['weight'].dtype}" if "weight" in module.leaves else "without a weight"
    scales = next(
        (f" with {leaf} {list(t.shape)}" for leaf, t in module.leaves.items() if "scale" in leaf and t.shape), ""
    )
    return f"{WORDS[module.kind]}{scales}"


# --- from words ---


def doubled(question: Question) -> Hypothesis | None:
    """A word twice in one segment: a row for a part has fired inside the name of the whole."""
    for at, segment in enumerate(segments := question.said.split(".")):
        for fused, parts in fused_parts().items():
            part = next((p for p in parts if p in fused and fused.replace(p, fused) == segment), None)
            place = part and place_of(".".join((*segments[:at], fused, *segments[at + 1 :])), question.names)
            if part and place and not place.fused:
                count = {name: _modules_called(question, name) for name in (fused, *parts)}
                told = ", ".join(f"{number} {name}" for name, number in count.items())
                return question.answer(
                    "fused.already-fused", place.subject,
                    f"the row `{part}` -> `{fused}` has fired inside the name `{fused}` and made `{segment}` of it: the"
                    f" checkpoint is fused already ({told}), and rows for parts must not be applied to it; rows should"
                    " match whole components of names",
                    {"fused": fused, "part": part, "count": count[fused], "tensors": list(place.kin)[:64]},
                    "use a version of the engine that leaves names alone that are fused already",
                )  # fmt: skip
    return None


def _modules_called(question: Question, role: str) -> int:
    return sum(module.role == role for module in question.modules.values())


def one_head(question: Question) -> Hypothesis | None:
    """Queries, keys and values in one tensor that is not three equal parts."""
    place = question.place
    if place is None:
        return None
    module = question.modules.get(split(place.names[0])[0])
    if module is None or module.role not in _FUSED:
        return None
    heads = _number(question.config, "num_attention_heads", "n_head", "num_heads")
    hidden = _number(question.config, "hidden_size", "n_embd", "d_model")
    if not heads or not hidden:
        return None
    dim = _number(question.config, "head_dim", "kv_channels") or hidden // heads
    rows = _outputs(module, hidden)
    own = heads * dim
    if rows is None or rows <= own or (rows - own) % (2 * dim) or (kv := (rows - own) // (2 * dim)) == heads:
        return None
    same = [each for each in question.modules.values() if each.role == module.role]
    shared = "one shared KV head" if kv == 1 else f"{kv} KV heads"
    return question.answer(
        "fused.already-fused", place.subject,
        f"{module.role} is fused on disk and has {own} + {rows - own} rows: {heads} query heads and {shared} of {dim}"
        f" each for k and v; three equal parts of {rows // 3} would cut through a head"
        f" ({counted(len(same), 'module')}, {WORDS[module.kind]})",
        {"rows": rows, "heads": heads, "kv_heads": kv, "head_dim": dim, "count": len(same)},
        f"split {module.role} at {own} and {own + kv * dim}, not into thirds",
    )  # fmt: skip


def _number(config: Mapping[str, object], *fields: str) -> int:
    return next((value for field in fields if type(value := config.get(field)) is int and value > 0), 0)


def _outputs(module: Module, hidden: int) -> int | None:
    """Outputs of a module, packed or not; scales and biases have them unpacked."""
    weight = module.leaves.get("weight")
    if weight is not None and module.kind == "plain":
        others = [size for size in weight.shape if size != hidden]
        return others[0] if len(weight.shape) == 2 and len(others) == 1 else None
    beside = next((module.leaves[leaf] for leaf in ("scales", "bias") if leaf in module.leaves), None)
    return beside.shape[-1] if beside is not None and beside.shape else None
