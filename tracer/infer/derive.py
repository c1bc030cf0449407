"""From structure and atoms to the fields of a config.json, each with what says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

from mappings.names import runs
from tracer.infer.equations import Solved
from tracer.infer.families import Family
from tracer.infer.fields import Confidence, Field, weaker
from tracer.infer.heads import heads_of, latent
from tracer.infer.names import Group, Structure
from tracer.infer.published import architecture_of

_DTYPES: Mapping[str, str] = {
    "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}  # fmt: skip
"""As a config.json spells them."""

_BIASED: Mapping[str, tuple[str, ...]] = {
    "attention_bias": ("q", "qkv", "q_a", "kv_a"), "mlp_bias": ("down",), "ssm_bias": ("ssm_in",),
    "conv_bias": ("ssm_conv",),
}  # fmt: skip
"""Fields that say whether the tensors of some roles have biases."""
_SPELT = 1 << 16
"""Positions that are written down one by one to find the shortest words for them."""


@dataclass
class Known:
    """Everything that fields are derived from."""

    names: Structure
    family: Family
    solved: Solved
    published: Mapping[str, Any] | None = None
    """Canonical fields of a published geometry with the same widths."""
    published_name: str = ""
    whole: bool = True
    """Whether the names are all there are: no file is missing that may hold more."""
    limit: Confidence = "certain"
    """How sure the atoms are at best: shapes leave no doubt, sizes may."""
    source: str = ""
    """Put before the evidence where atoms do not come from shapes."""
    dtype: str | None = None
    quantisation: Mapping[str, Any] = field(default_factory=dict)
    quantised_by: str = ""
    also: Mapping[str, list[int]] = field(default_factory=dict)
    """Other values of an atom that fit as well."""

    @property
    def sure(self) -> Confidence:
        """How sure a field is that names alone tell: of an unknown class, fields may be called and meant otherwise."""
        if not self.family.name and not self.names.has("embed"):
            return "guess"
        return "likely" if self.names.doubt or not self.family.name else "certain"

    def sure_of(self, *atoms: str) -> Confidence:
        """How sure a field is that is made of these."""
        return weaker(self.limit, "likely") if self.solved.mixed.keys() & set(atoms) else self.limit

    def atom(self, name: str) -> int | None:
        return self.solved.atoms.get(name)

    def spelled(self, canonical: str, value: Any, evidence: str, confidence: Confidence) -> Iterator[Field]:
        """A field, if this family's config has it."""
        name = self.family.spelled(canonical)
        if name:
            yield Field(name, value, evidence, confidence)

    def told(self, *atoms: str) -> str:
        own = "; ".join(dict.fromkeys(self.solved.told[atom] for atom in atoms if atom in self.solved.told))
        others = [f"{value}" for atom in atoms for value in self.also.get(atom, [])[:4]]
        more = f"; {', '.join(others)} would fit as well" if others else ""
        return (f"{self.source}: {own}" if self.source and own else own or self.source) + more


def fields(known: Known) -> list[Field]:
    """All fields, those of the model's identity first; a name occurs once."""
    parts = (_identity, _depth, _widths, _attention, _experts, _state_space, _linear, _flags, _types)
    found: dict[str, Field] = {}
    for part in parts:
        for each in part(known):
            found.setdefault(each.name, each)
    return list(found.values())


def _identity(known: Known) -> Iterator[Field]:
    family = known.family
    if family.name:
        marks = ", ".join(way.split("|")[0] for way in family.has)
        told = f"has {marks}" + (f", lacks {', '.join(family.lacks)}" if family.lacks else "")
        against = doubts(known)
        sure: Confidence = "guess" if against else "likely"
        told = f"{told}; but {against}" if against else told
        yield Field("architectures", [family.name], told, sure)
        yield Field("model_type", family.model_type, told, sure)
    for name, value in family.constants.items():
        yield Field(name, value, f"the tensors are those of a {family.name} with it", "certain")
    if known.dtype:
        told = "of most bytes that are not quantised"
        yield Field("torch_dtype", _DTYPES.get(known.dtype, known.dtype), told, weaker("likely", known.limit))
    if known.quantisation:
        yield Field("quantization_config", dict(known.quantisation), known.quantised_by, known.limit)


def doubts(known: Known) -> str:
    """Why the class may be another one with the same modules; empty where nothing says so."""
    if known.names.doubt:
        return known.names.doubt
    if known.names.towers and not known.family.towers:
        return f"{', '.join(known.names.towers)} stand beside this decoder, so that the class of the whole is another"
    shared = ", ".join(known.family.shared)
    published = architecture_of(known.published_name) == known.family.name
    return f"{shared} have the same modules" if shared and not published else ""


def layers_of(names: Structure) -> tuple[list[int], str, str]:
    """The layers that are there, those that are missing among them in words, and what says so."""
    drafting = {i for group in names.of("next_token") for i in group.layers}
    outside = {"embed", "head", "embed_norm"}
    here = sorted({i for g in names.groups if g.stack and g.role not in outside for i in g.layers} - drafting)
    # A stack that also numbers its embedding and its head (MixFormer) has its layers where attention is.
    # A next-token layer may have an embedding of its own too, and is none of these.
    if any(g.stack and g.role in outside and set(g.layers) - drafting for g in names.groups):
        body = ("out", "qkv", "q", "ssm_in")
        here = sorted({i for g in names.groups if g.stack and g.role in body for i in g.layers} - drafting)
    return here, _between(here), f"{names.stack}.{{{runs(here)}}}"


def _between(here: Sequence[int]) -> str:
    """Positions that are skipped; a name may have any number in it, so that they may be a thousand million."""
    skipped = [range(a + 1, b) for a, b in pairwise(here) if b - a > 1]
    if sum(map(len, skipped)) <= _SPELT:
        return runs(chain.from_iterable(skipped))
    return ", ".join(f"{run[0]}..{run[-1]}" for run in skipped)


def _depth(known: Known) -> Iterator[Field]:
    here, missing, told = layers_of(known.names)
    if not here:
        return
    count = len(here) if not missing and here[0] <= 1 else here[-1] + 1
    gap = f", {missing} missing" if missing else "" if here[0] <= 1 else ", none before them"
    sure: Confidence = "guess" if here[0] > 1 else "likely" if missing or not known.whole else known.sure
    if known.names.others and known.family.spelling.get("decoder_layers"):
        yield from _two_depths(known, count, told)
    yield from known.spelled("layers", count, f"{told}{gap}", sure)
    drafting = {i for group in known.names.of("next_token") for i in group.layers}
    more = {i[0] for group in known.names.drafts for i in group.indices if i} | drafting
    if more:
        yield from known.spelled("drafts", len(more), f"layers that draft tokens: {runs(more)}", known.sure)


def _two_depths(known: Known, count: int, told: str) -> Iterator[Field]:
    """An encoder and a decoder, one of which has the larger stack: the plain field counts the encoder's layers."""
    (name, groups), *_ = known.names.others.items()
    other = sorted({layer for group in groups for layer in group.layers})
    depths = {known.names.stack: (count, told), name: (len(other), f"{name}.{{{runs(other)}}}")}
    for field_name, part in (("layers", "encoder"), ("decoder_layers", "decoder")):
        for stack, (layers, why) in depths.items():
            if part in stack.split("."):
                yield from known.spelled(field_name, layers, why, known.sure)


def _widths(known: Known) -> Iterator[Field]:
    names = known.names
    for atom in ("hidden", "vocab", "axis_positions", "types"):
        value = known.atom(atom)
        if value is not None:
            # Classes that see or hear give their embedding rows which no config counts.
            sure = weaker("likely", known.limit) if atom == "vocab" and names.towers else known.sure_of(atom)
            yield from known.spelled(atom, value, known.told(atom), sure)
    ffn = known.atom("ffn")
    if ffn is not None and known.family.spelled("ffn"):
        fused = known.family.model_type in ("qwen", "molmo")
        told = known.told("ffn") + (", gate and up counted together" if fused else "")
        yield from known.spelled("ffn", 2 * ffn if fused else ffn, told, known.sure_of("ffn"))
    positions = known.atom("positions")
    if positions is not None and names.has("positions"):
        # Bart's and RoBERTa's tables have two rows more than a position each: what they count is the class's affair.
        told_apart = known.family.name and not known.source
        sure = weaker("likely" if doubts(known) else known.sure_of("positions")) if told_apart else "guess"
        yield from known.spelled("positions", positions, known.told("positions"), sure)


def _attention(known: Known) -> Iterator[Field]:
    atoms = known.solved.atoms
    if known.names.has("kv_a"):
        yield from _latent_attention(known)
        return
    found = heads_of(known.names, atoms, known.published)
    if found is None:
        return
    sure = weaker(found.confidence, known.sure_of("q", "kv", "dim"))
    told = known.told("q", "kv") if known.source else found.evidence
    told = f"{told}; {found.evidence}" if known.source else told
    yield from known.spelled("heads", found.heads, told, sure)
    yield from known.spelled("kv_heads", found.kv_heads, told, sure)
    yield from known.spelled("head_dim", found.dim, told, sure)


def _latent_attention(known: Known) -> Iterator[Field]:
    found = latent(known.solved.atoms)
    for rank in ("q_rank", "kv_rank"):
        if (value := known.atom(rank)) is not None:
            yield from known.spelled(rank, value, known.told(rank), known.sure_of(rank))
    if not known.names.has("q_a"):
        yield from known.spelled("q_rank", None, "queries have one projection: there is no q_a_proj", known.sure)
    if found is None:
        return
    told = known.told("qb", "kvb", "vo", "rope") + "; the four products have one solution"
    for name, value in (*found._asdict().items(), ("kv_heads", found.heads)):
        yield from known.spelled(name, value, told, known.sure_of("qb", "kvb", "vo"))


def _experts(known: Known) -> Iterator[Field]:
    names = known.names
    count, told = experts_of(names)
    if count is None and (router := known.atom("experts")) is not None:
        count, told = router, known.told("experts")
    if not count:
        return
    sure: Confidence = known.sure if known.whole and "with gaps" not in told else "likely"
    yield from known.spelled("experts", count, told, sure)
    for atom in ("moe_ffn",):
        if (value := known.atom(atom)) is not None:
            yield from known.spelled(atom, value, known.told(atom), known.sure_of(atom))
    shared, own = known.atom("shared_ffn"), known.atom("moe_ffn")
    if shared and own and known.family.spelled("shared") and names.has("shared_down") and shared % own == 0:
        told = f"{known.told('shared_ffn')}, in experts of {own}"
        yield from known.spelled("shared", shared // own, told, weaker("likely", known.limit))
    if shared and names.has("shared_router"):
        yield from known.spelled("shared_ffn", shared, known.told("shared_ffn"), known.limit)
    here, _, _ = layers_of(names)
    routed = {i for group in names.of("router") for i in group.layers}
    leading = next((n for n, layer in enumerate(here) if layer in routed), 0)
    if here and here[0] == 0 and names.has("shared_down", "kv_a") and not names.has("shared_router"):
        yield from known.spelled("dense", leading, f"experts in layers {runs(routed)}", known.sure)


def experts_of(names: Structure) -> tuple[int | None, str]:
    """How many experts a layer has, by names that count them."""
    for role in ("expert_down", "expert_up", "expert_gate"):
        for group in names.of(role):
            numbers = {i[1] for i in group.indices if len(i) > 1}
            if numbers:
                whole = len(numbers) == max(numbers) + 1
                told = f"{group.template.replace('{}', '{layer}', 1)}: {runs(numbers)}"
                return max(numbers) + 1, told if whole else f"{told} (with gaps)"
    return None, ""


def _state_space(known: Known) -> Iterator[Field]:
    names = known.names
    if not names.has("ssm_in"):
        return
    for atom in ("state", "conv", "dt"):
        if (value := known.atom(atom)) is not None:
            yield from known.spelled(atom, value, known.told(atom), known.sure_of(atom))
    inner, hidden = known.atom("inner"), known.atom("hidden")
    if inner and hidden and names.has("ssm_x"):
        yield from known.spelled("inner", inner, known.told("inner"), known.limit)
        if known.family.spelling.get("expand"):
            yield from known.spelled("expand", inner // hidden, known.told("inner"), known.limit)
    mheads, groups = known.atom("mheads"), known.atom("groups")
    if inner and mheads and inner % mheads == 0 and not names.has("ssm_x"):
        told = known.told("inner", "mheads")
        yield from known.spelled("mheads", mheads, told, known.limit)
        yield from known.spelled("mdim", inner // mheads, told, known.limit)
        if groups:
            yield from _groups(known, groups)


def _groups(known: Known, product: int) -> Iterator[Field]:
    """Groups x states: published models have 128 states, or 64, and few groups."""
    state = next((size for size in (128, 64, 256, 16) if product % size == 0), product)
    told = f"{known.told('groups')}: groups x states = {product}, of which {state} states are practice"
    yield from known.spelled("groups", product // state, told, "guess")
    yield from known.spelled("state", state, told, "guess")


def _linear(known: Known) -> Iterator[Field]:
    """Gated DeltaNet (Qwen3-Next): the width of keys is only known times their heads."""
    if not known.names.has("lin_heads"):
        return
    for atom in ("lin_heads", "lin_dim"):
        if (value := known.atom(atom)) is not None:
            yield from known.spelled(atom, value, known.told(atom), known.sure_of(atom))
    if (conv := known.atom("conv")) is not None:
        yield from known.spelled("lin_conv", conv, known.told("conv"), known.limit)
    keys, dim = known.atom("lin_k"), known.atom("lin_dim")
    if keys and dim and keys % dim == 0:
        told = f"{known.told('lin_k')}: key heads x width = {keys}; as wide as the value heads by practice"
        yield from known.spelled("lin_key_heads", keys // dim, told, "likely")
        yield from known.spelled("lin_key_dim", dim, told, "likely")


def _flags(known: Known) -> Iterator[Field]:
    names, family = known.names, known.family
    heads = [g for g in names.groups if g.role == "head" and g.leaf != "bias"]
    if names.has("embed") and family.name and "ForImage" not in family.name:
        yield from _tying(known, heads)
    for flag, roles in _BIASED.items():
        plain = [g for g in names.groups if g.role in roles and g.leaf in ("weight", "qweight", "blocks", "")]
        if plain:
            biased = [g for g in names.groups if g.role in roles and g.leaf == "bias"]
            yield from known.spelled(flag, bool(biased), _there(biased, plain), known.sure)


def _tying(known: Known, heads: list[Group]) -> Iterator[Field]:
    if heads and not (known.family.tied and "MaskedLM" in known.family.name):
        told = f"{heads[0].told} is stored beside the embedding; a copy of it would be stored so too"
        yield from known.spelled("tie", False, told, "likely")
    elif heads or not known.names.has("classes"):
        told = "the class ties" if heads else "no head of its own is stored; a model without one has none either"
        bare = not known.family.tied and ("." not in known.names.stack or known.names.towers or known.names.doubt)
        yield from known.spelled("tie", True, told, "guess" if bare else "likely")


def _there(biased: list[Group], plain: list[Group]) -> str:
    return f"{biased[0].told}" if biased else f"{plain[0].template} without a bias"


def _types(known: Known) -> Iterator[Field]:
    """How layers of several kinds follow each other."""
    names = known.names
    attending = {i for g in names.of("q", "weight") + names.of("qkv", "weight") for i in g.layers}
    linear = {i for role in ("lin_heads", "out_gate") for g in names.of(role) for i in g.layers}
    if linear and names.has("lin_heads"):
        here, _, _ = layers_of(names)
        kinds = ["linear_attention" if i in linear else "full_attention" for i in here]
        yield Field("layer_types", kinds, f"linear attention in layers {runs(linear)}", known.sure)
    if names.has("ssm_x") and attending and known.family.model_type == "jamba":
        yield from _periods(known, attending)


def _periods(known: Known, attending: set[int]) -> Iterator[Field]:
    routed = {i for g in known.names.of("router") for i in g.layers}
    for name, found in (("attn_layer", attending), ("expert_layer", routed)):
        inside = sorted(found)
        if inside:
            here, _, _ = layers_of(known.names)
            period = inside[1] - inside[0] if len(inside) > 1 else len(here)
            told = f"layers {runs(inside)}"
            yield Field(f"{name}_period", period, told, known.sure if len(inside) > 1 else "guess")
            yield Field(f"{name}_offset", inside[0], told, known.sure)
