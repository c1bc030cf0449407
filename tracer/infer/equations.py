"""What the extents of each role's tensor are made of, and the numbers that follow when shapes are put in.

An equation is a layout of sums of atoms: `"q + 2 kv, hidden"`. An atom is a product that the tensors cannot take apart
(`q` is heads x head_dim). The same equations give the atoms from shapes, and the shapes (and bytes) from atoms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tracer.infer.names import Group, Shape, Structure

Form = tuple[tuple[str, int], ...]
"""A sum: atom and how often; the atom `""` is 1."""

EQUATIONS: Mapping[str, str] = {
    "embed": "vocab, hidden", "head": "vocab, hidden", "embed_more": "added, hidden", "embed_norm": "hidden",
    "positions": "positions, hidden", "axis_positions": "axis_positions, hidden", "types": "types, hidden",
    "norm": "hidden", "q": "q, hidden", "k": "kv, hidden", "v": "kv, hidden", "qkv": "q + 2 kv, hidden",
    "out": "hidden, q", "q_norm": "dim", "k_norm": "dim", "sinks": "heads", "inv_freq": "half",
    "gate": "ffn, hidden", "up": "ffn, hidden", "gate_up": "2 ffn, hidden", "down": "hidden, ffn",
    "router": "experts, hidden", "router_bias": "experts",
    "expert_gate": "moe_ffn, hidden", "expert_up": "moe_ffn, hidden", "expert_down": "hidden, moe_ffn",
    "experts_gate": "experts, moe_ffn, hidden", "experts_up": "experts, moe_ffn, hidden",
    "experts_gate_up": "experts, 2 moe_ffn, hidden", "experts_down": "experts, hidden, moe_ffn",
    "shared_gate": "shared_ffn, hidden", "shared_up": "shared_ffn, hidden", "shared_down": "hidden, shared_ffn",
    "shared_gate_up": "2 shared_ffn, hidden", "shared_out": "hidden, shared_ffn", "shared_router": "1, hidden",
    "q_a": "q_rank, hidden", "q_a_norm": "q_rank", "q_b": "qb, q_rank", "kv_a": "kv_rank + rope, hidden",
    "kv_a_norm": "kv_rank", "kv_b": "kvb, kv_rank", "k_b": "heads, kv_rank, nope", "v_b": "heads, v_dim, kv_rank",
    "ssm_in": "2 inner, hidden", "ssm_conv": "inner, 1, conv", "ssm_x": "dt + 2 state, inner", "ssm_dt": "inner, dt",
    "ssm_a": "inner, state", "ssm_d": "inner", "ssm_norm": "inner", "ssm_out": "hidden, inner", "dt_norm": "dt",
    "state_norm": "state", "ssm_dt_bias": "mheads",
    "lin_qkv": "2 lin_k + lin_v, hidden", "lin_qkvz": "2 lin_k + 2 lin_v, hidden", "lin_z": "lin_v, hidden",
    "lin_ba": "2 lin_heads, hidden", "lin_a": "lin_heads, hidden", "lin_conv": "2 lin_k + lin_v, 1, conv",
    "lin_heads": "lin_heads", "lin_norm": "lin_dim", "lin_out": "hidden, lin_v", "out_gate": "lin_v, hidden",
    "out_norm": "lin_v", "cross_q": "q, hidden",
    "cross_k": "q, hidden", "cross_v": "q, hidden", "cross_kv": "2 q, hidden", "cross_out": "hidden, q",
    "square": "hidden, hidden", "square_norm": "hidden", "head_bias": "vocab", "classes": "classes, hidden",
    "class_token": "1, 1, hidden", "next_token": "hidden, 2 hidden", "draft_head": "vocab, hidden",
}  # fmt: skip

_LATENT = {"q": "qb, hidden", "out": "hidden, vo"}
"""With latent attention (DeepSeek-V2, arXiv 2405.04434) queries and outputs have widths of their own."""
_GROUPED = {
    "ssm_in": "2 inner + 2 groups + mheads, hidden", "ssm_conv": "inner + 2 groups, 1, conv", "ssm_a": "mheads",
    "ssm_d": "mheads",
}  # fmt: skip
"""Mamba-2 (arXiv 2405.21060): scalars a head, and B and C in groups."""
_GATED_OUTPUT = {"q": "2 q, hidden"}
"""Qwen3-Next: the query projection also makes the gate of the output."""
_WIDE_NORMS = {"q_norm": "q", "k_norm": "kv"}
"""OLMo-2, OLMoE: queries and keys are normalised before they are cut into heads."""


def equations(names: Structure, overrides: Mapping[str, str]) -> dict[str, str]:
    """Role -> equation, for a checkpoint of these names."""
    found = {**EQUATIONS}
    if names.has("kv_a"):
        found |= _LATENT
    if names.has("ssm_dt_bias") and not names.has("ssm_x"):
        found |= _GROUPED
    if names.has("lin_heads"):
        found |= _GATED_OUTPUT
    if names.has("lin_qkv", "lin_qkvz", "lin_z") and "self_attn.output_gate" in names.modules:
        found |= {"qkv": "3 lin_v, hidden"}
    if norms_are_wide(names):
        found |= _WIDE_NORMS
    if _up_is_double(names):
        found |= {"up": "2 ffn, hidden"}
    return {**found, **overrides}


def norms_are_wide(names: Structure) -> bool:
    """Whether queries are normalised as a whole, not head by head."""
    widths = [g.shape[0] for g in names.of("q_norm") if g.shape and len(g.shape) == 1]
    rows = [g.shape[0] for g in names.of("q", "weight") if g.shape and len(g.shape) == 2]
    return bool(widths and rows) and widths[0] == rows[0] and bool(names.of("k_norm"))


def _up_is_double(names: Structure) -> bool:
    """Whether gate and up are one matrix under the name of the second, as llama.cpp has GLM's and Phi-3's."""
    ups, downs = names.of("up", "weight"), names.of("down", "weight")
    if not ups or not downs or names.has("gate"):
        return False
    up, down = ups[0].shape, downs[0].shape
    return down is not None and len(down) == 2 and up == (2 * down[1], down[0])


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Form, ...]:
    """`"q + 2 kv, hidden"` -> `((("q", 1), ("kv", 2)), (("hidden", 1),))`."""
    return tuple(tuple(_term(term.split()) for term in dim.split("+")) for dim in text.split(","))


def _term(words: Sequence[str]) -> tuple[str, int]:
    if len(words) == 2:
        return words[1], int(words[0])
    return ("", int(words[0])) if words[0].isdigit() else (words[0], 1)


def value(form: Form, atoms: Mapping[str, int]) -> int | None:
    """A sum; None where an atom is not known."""
    total = 0
    for atom, times in form:
        own = 1 if not atom else atoms.get(atom)
        if own is None:
            return None
        total += times * own
    return total


@dataclass
class Solved:
    """The atoms, each with the tensor that told it; and the tensors that say otherwise."""

    atoms: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    strange: list[tuple[Group, str, Shape]] = field(default_factory=list)
    """A tensor, its equation, and the shape that the other tensors want of it."""
    mixed: dict[str, set[int]] = field(default_factory=dict)
    """Atoms that are not the same in every layer, with the values that tensors show alone."""


def dims_of(group: Group, table: Mapping[str, str]) -> tuple[Form, ...] | None:
    """The equation of one leaf: a bias has the outer extents of its weight."""
    text = table.get(group.role)
    if text is None:
        return None
    dims = parse(text)
    return of_bias(group.role, dims) if group.leaf == "bias" else dims


def of_bias(role: str, dims: tuple[Form, ...]) -> tuple[Form, ...]:
    """A bias has the extents of its weight without the input's, wherever that stands."""
    if len(dims) < 3:
        return dims[:1]
    if role in ("ssm_conv", "lin_conv"):
        return dims[:1]
    inner = "moe_ffn" if role == "experts_down" else "hidden"
    return tuple(form for form in dims if form != ((inner, 1),))


def solve(pairs: Iterable[tuple[Group, Shape]], table: Mapping[str, str]) -> Solved:
    """Atoms from shapes. Each round settles the sums that have one unknown left."""
    known = Solved()
    open_ = [(group, shape, dims) for group, shape in pairs if (dims := dims_of(group, table)) is not None]
    # Vectors and tables first: they name one atom an extent, and tell which way round a matrix lies.
    open_.sort(key=lambda entry: sum(len(form) for form in entry[2]) + 10 * (entry[0].role == "positions"))
    progress = True
    while progress:
        before = len(known.atoms)
        for group, shape, dims in open_:
            _settle(known, group, shape, dims, table)
        progress = len(known.atoms) > before
    for group, _, dims in open_:
        _mix(known, group, dims)
    known.strange = [
        (group, table[group.role], wanted)
        for group, shape, dims in open_
        if (wanted := _wanted(dims, known.atoms)) is not None and not _alike(wanted, shape)
    ]  # fmt: skip
    return known


def _mix(known: Solved, group: Group, dims: Sequence[Form]) -> None:
    """Note what differs between the layers of one template."""
    variants = {shape for shape, _ in group.shapes if len(shape) == len(dims)}
    for form, *extents in zip(dims, *variants, strict=True) if len(variants) > 1 else ():
        for atom, times in form if len(set(extents)) > 1 else ():
            alone = {extent // times for extent in extents} if len(form) == 1 else set()
            known.mixed.setdefault(atom, set()).update(alone)


def _alike(wanted: Shape, shape: Shape) -> bool:
    return _squeezed(shape) in (_squeezed(wanted), _squeezed((*wanted[:-2], *reversed(wanted[-2:]))))


def _squeezed(shape: Shape) -> Shape:
    """Without extents of 1, which say nothing: a mask of one is a scalar."""
    return tuple(extent for extent in shape if extent != 1)


def _wanted(dims: Sequence[Form], atoms: Mapping[str, int]) -> Shape | None:
    found = [value(form, atoms) for form in dims]
    return None if None in found else tuple(extent for extent in found if extent is not None)


def _settle(
    known: Solved, group: Group, shape: Shape, dims: Sequence[Form], table: Mapping[str, str]
) -> None:  # fmt: skip
    if len(shape) != len(dims):
        return
    for way in (shape, (*shape[:-2], *reversed(shape[-2:]))):
        if all(value(form, known.atoms) in (None, extent) for form, extent in zip(dims, way, strict=True)):
            for form, extent in zip(dims, way, strict=True):
                _put(known, group, form, extent, table)
            return


def _put(known: Solved, group: Group, form: Form, extent: int, table: Mapping[str, str]) -> None:
    unknown = [(atom, times) for atom, times in form if atom and atom not in known.atoms]
    if len(unknown) != 1:
        return
    atom, times = unknown[0]
    rest = extent - (value(tuple(term for term in form if term[0] != atom), known.atoms) or 0)
    if rest > 0 and rest % times == 0:
        known.atoms[atom] = rest // times
        known.told[atom] = f"{group.told} = ({table[group.role]})"
