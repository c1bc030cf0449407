"""An existing config.json against what the tensors say. The tensors outrank it; one cause is one finding.

Names and shapes that this package does not know from the field may mean something else than it thinks: then little is
compared, and why is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mappings.findings import Finding, Severity, Unchecked
from mappings.names import HOLE
from tracer.infer.canonical import NESTED, atoms_of, canonical, family_named, spelled_in, text_config
from tracer.infer.classes import mismatched
from tracer.infer.derive import Known, experts_of, layers_of
from tracer.infer.families import BY_MODEL_TYPE

_BEHIND: Mapping[str, tuple[str, ...]] = {
    "q": ("hidden", "heads", "dim", "qb"), "kv": ("hidden", "q", "dim"), "qb": ("hidden", "heads"),
    "kvb": ("heads", "qb"), "vo": ("heads", "qb"), "half": ("dim", "q"), "dim": ("hidden",),
}  # fmt: skip
"""Products that are wrong because something before them is."""
FIELD: Mapping[str, str] = {
    "q": "heads", "kv": "kv_heads", "qb": "heads", "kvb": "nope", "vo": "v_dim", "dim": "head_dim", "half": "head_dim",
}  # fmt: skip
"""The field that is taken for the cause of a wrong product."""
_ALL = " in all"
"""Behind rows that are no whole number of heads."""
_SEEING = ("vision", "visual", "image", "audio", "mm_", "video", "speech", "projector")


def against(known: Known, config: Mapping[str, Any], scale_found: tuple[list[Finding], list[Unchecked]]) -> tuple[
    list[Finding], list[Unchecked]
]:  # fmt: skip
    """Findings of names and shapes, then what `of_sizes` found."""
    said = canonical(config)
    found = [*mismatched(known, config), *_towers(known, config), *_drafts(known, config), *_quantised(known, config)]
    more, unchecked = scale_found
    if doubt := _doubt(known, config):
        if known.names.home and not known.names.others:
            found += [*_depth(known, said, config), *_shapes(known, said, config, ("hidden", "vocab"))]
        return [*found, *more], [*unchecked, Unchecked("config against names", doubt)]
    found = [*_depth(known, said, config), *_experts(known, said, config), *_shapes(known, said, config),
             *_tying(known, said, config), *_biases(known, config), *found]  # fmt: skip
    return [*found, *more], unchecked


def _doubt(known: Known, config: Mapping[str, Any]) -> str:
    """Why tensors and fields may mean something else than the table of roles has it: then neither is held against
    the other. Empty for a model type that is known, and where every module of the layers is."""
    kind = text_config(config).get("model_type")
    if isinstance(kind, str) and kind in BY_MODEL_TYPE:
        return ""
    if not known.names.has("embed"):
        return "no embedding of words says which of the stacks config.json describes"
    return known.names.doubt


def conflict(
    config: Mapping[str, Any], name: str, said: Any, seen: Any, told: str, severity: Severity = "error"
) -> Finding:  # fmt: skip
    spelled = spelled_in(text_config(config), name) or name
    quoted = repr(said) if isinstance(said, str) else said
    return Finding(
        "config.conflict", severity, spelled, f"config.json says {spelled} = {quoted}, the tensors {seen}: {told}",
        {"field": spelled, "found": said, "tensors": seen}, f"set {spelled} to {seen}" if _is_value(seen) else None,
    )  # fmt: skip


def _is_value(seen: Any) -> bool:
    """Whether a field can be set to it: so many rows in all are no number of heads."""
    return not (isinstance(seen, str) and seen.endswith(_ALL))


def _depth(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    here, missing, told = layers_of(known.names)
    others = {len({layer for group in groups for layer in group.layers}) for groups in known.names.others.values()}
    if type(said.get("layers")) is int and said["layers"] in others:
        return
    if here and "layers" in said and not missing and here[0] == 0 and said["layers"] != len(here):
        extra = len(here) - said["layers"] if isinstance(said["layers"], int) else 0
        drafts = said.get("drafts")
        if not 0 < extra <= (drafts if isinstance(drafts, int) else 0):
            yield conflict(config, "layers", said["layers"], len(here), told)


def _experts(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    count, told = experts_of(known.names)
    if count and isinstance(said.get("experts"), int) and said["experts"] != count:
        yield conflict(config, "experts", said["experts"], count, told)


def _shapes(
    known: Known, said: Mapping[str, Any], config: Mapping[str, Any], only: Sequence[str] = ()
) -> Iterator[Finding]:  # fmt: skip
    """Every product that shapes show, against the one that the config's fields give."""
    if known.source:
        return
    wanted, seen = atoms_of(said), known.solved.atoms
    mixed = known.solved.mixed
    wrong = [atom for atom in seen if atom in wanted and wanted[atom] != seen[atom] and atom != "positions"
             and not (atom in mixed and wanted[atom] in (mixed[atom] or {wanted[atom]}))]  # fmt: skip
    if not only and (width := _width(said, seen, wrong)):
        counted = f"{said['heads']} and {_kv_heads(said)} heads of {width}"
        told = f"{known.told('q')}, and of k and v {seen['kv']} rows: {counted}"
        yield conflict(config, "head_dim", said["head_dim"], width, told)
        wrong = [atom for atom in wrong if atom not in ("q", "kv")]
    for atom in wrong:
        if only and atom not in only:
            continue
        if any(behind in wrong for behind in _BEHIND.get(atom, ())) or (atom == "heads" and "q" in wrong):
            continue
        if atom == "ffn" and "hidden" in wrong and spelled_in(text_config(config), "ffn") is None:
            continue
        if atom == "vocab":
            yield _vocabulary(known, config, wanted[atom], seen[atom])
        elif atom in FIELD:
            yield _product(known, said, config, atom, wanted[atom], seen[atom])
        elif atom not in ("experts",) or experts_of(known.names)[0] is None:
            yield conflict(config, atom, wanted[atom], seen[atom], known.told(atom))


def _width(said: Mapping[str, Any], seen: Mapping[str, int], wrong: Sequence[str]) -> int:
    """The one width under which all heads that config.json counts are as wide as the tensors have them; 0 for none."""
    heads, kv_heads = _positive(said, "heads"), _kv_heads(said)
    if not {"q", "kv"} <= set(wrong) or "dim" in wrong or not heads or not kv_heads or "head_dim" not in said:
        return 0
    width, left = divmod(seen["q"], heads)
    return width if not left and width * kv_heads == seen["kv"] else 0


def _kv_heads(said: Mapping[str, Any]) -> int:
    return _positive(said, "kv_heads") or _positive(said, "heads")


def _vocabulary(known: Known, config: Mapping[str, Any], said: int, rows: int) -> Finding:
    if rows > said and text_config(config).get("model_type") not in BY_MODEL_TYPE:
        return Finding(
            "vocab.padded", "info", "vocab_size",
            f"config.json says vocab_size = {said}, the embedding has {rows} rows: padding, or the class's own tokens",
            {"field": "vocab_size", "found": said, "tensors": rows},
        )  # fmt: skip
    return conflict(config, "vocab", said, rows, known.told("vocab"))


def _product(
    known: Known, said: Mapping[str, Any], config: Mapping[str, Any], atom: str, wanted: int, seen: int
) -> Finding:  # fmt: skip
    """heads x head_dim: the count is what is named, where it would come out with the width that the config has."""
    field = FIELD[atom]
    heads = _positive(said, "heads")
    if atom in ("dim", "half") and "head_dim" not in said:
        return _missing(config, field, seen * (2 if atom == "half" else 1), known.told(atom))
    if atom == "q" and "head_dim" not in said and heads and seen % heads == 0:
        return _missing(config, "head_dim", seen // heads, known.told(atom))
    if atom in ("dim", "half"):
        return conflict(config, field, said.get(field, wanted), seen * (2 if atom == "half" else 1), known.told(atom))
    dim = _positive(said, "head_dim") or (_positive(said, "hidden") // heads if heads else 0)
    width = known.solved.atoms.get("dim") or dim
    value: Any = seen // width if atom in ("q", "kv") and width and seen % width == 0 else f"{seen}{_ALL}"
    told = f"{known.told(atom)}, where config.json's fields make {wanted}"
    if atom == "kv" and field not in said:
        return _missing(config, field, value, told)
    return conflict(config, field, said.get(field, f"{wanted}{_ALL}"), value, told)


def _positive(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name)
    return value if type(value) is int and value > 0 else 0


def _missing(config: Mapping[str, Any], name: str, seen: Any, told: str) -> Finding:
    """A field that is not there, and whose usual default is not what the tensors have; classes differ in theirs."""
    spelled = family_named(text_config(config)).spelled(name) or name
    return Finding(
        "config.missing-field", "warning", spelled, f"config.json has no {spelled}, the tensors have {seen}: {told}",
        {"field": spelled, "tensors": seen}, f"set {spelled} to {seen}" if _is_value(seen) else None,
    )  # fmt: skip


def _tying(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    heads = [group for group in known.names.groups if group.role == "head" and group.leaf != "bias"]
    kind = text_config(config).get("model_type")
    family = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    explicit = said.get("tie")
    if heads and (explicit is True or (explicit is None and family is not None and family.tied)):
        if family is not None and "MaskedLM" in family.name:
            return
        name = heads[0].template
        stated = "says tie_word_embeddings" if explicit else f"is of {kind}, which ties"
        yield Finding(
            "tie.conflict", "warning" if explicit else "info", name,
            f"config.json {stated}, but {name} is stored beside the embedding; engines that tie do not read it",
            {"tensor": name}, "set tie_word_embeddings to false if the two differ" if explicit else None,
        )  # fmt: skip
    elif explicit is False and not heads and known.whole and _needs_head(known, config):
        yield Finding(
            "tie.conflict", "error", "tie_word_embeddings",
            "config.json says tie_word_embeddings = false, but no head is stored", {},
            "set tie_word_embeddings to true",
        )  # fmt: skip


def _needs_head(known: Known, config: Mapping[str, Any]) -> bool:
    """Whether it is a decoder that speaks: with an embedding, layers, no classes, and a class around it.

    Models that only embed text are published without a head, their layers named `layers.0`.
    """
    named = config.get("architectures")
    bare = isinstance(named, list) and any(str(name).endswith(("Model", "MaskedLM")) for name in named)
    names = known.names
    return names.has("embed") and "." in names.stack and not names.has("classes") and not bare


def _biases(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Only fields that name one layer's biases: `bias` and `use_bias` mean something else in every family."""
    text = text_config(config)
    for field, roles in (("attention_bias", ("q", "qkv")), ("mlp_bias", ("down",))):
        groups = [group for group in known.names.groups if group.role in roles]
        stored = any(group.leaf == "bias" for group in groups)
        if groups and type(text.get(field)) is bool and text[field] != stored:
            yield conflict(config, field, text[field], stored, groups[0].template, "error" if stored else "warning")


def _towers(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    towers = {name: groups for name, groups in known.names.towers.items() if len(groups) >= 4}
    count = sum(len(group.indices) for groups in towers.values() for group in groups)
    kind = text_config(config).get("model_type")
    family = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    if not towers:
        return
    seeing = any(word in key for key in _keys_of(config) for word in _SEEING)
    if family is not None and not family.towers and not seeing:
        yield Finding(
            "config.conflict", "warning", next(iter(towers)),
            f"{count} tensors of {', '.join(towers)} are no part of the model that config.json describes",
            {"towers": list(towers), "tensors": count}, "take the config.json that belongs to these weights",
        )  # fmt: skip
        return
    yield from _tower_depths(towers, config)


def _keys_of(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        yield key.lower()
        if isinstance(value, dict) and key not in NESTED:
            yield from (str(inner).lower() for inner in value)


_LAYERS = ("layers", "layer", "resblocks")


def _tower_depths(towers: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Towers that lack their last layers: what is taken from a layer before the last needs no more."""
    told = {
        key: depth for key, value in config.items() if isinstance(value, dict) and key not in NESTED
        for depth in (value.get("num_hidden_layers", value.get("depth")),) if type(depth) is int
    }  # fmt: skip
    stored: set[int] = set()
    for groups in towers.values():
        for group in groups:
            before = [a for a, b in pairwise(group.template.split(".")) if b == HOLE]
            stored |= {len({i[at] for i in group.indices}) for at, word in enumerate(before) if word in _LAYERS}
    for key, depth in told.items():
        if stored and depth not in stored and max(stored) < depth <= max(stored) + 2:
            yield Finding(
                "config.conflict", "info", key,
                f"{key} says {depth} layers, {max(stored)} are stored: the last may never be computed",
                {"field": key, "found": depth, "tensors": max(stored)},
            )  # fmt: skip


def _drafts(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    said = canonical(config).get("drafts")
    stored = bool(known.names.drafts) or bool(known.names.of("next_token"))
    here, _, _ = layers_of(known.names)
    total = canonical(config).get("layers")
    past = isinstance(total, int) and len(here) > total
    if isinstance(said, int) and said > 0 and not stored and not past:
        field = spelled_in(text_config(config), "drafts") or "num_nextn_predict_layers"
        yield conflict(config, field, said, 0, "no layer that drafts tokens is stored", "warning")


def _quantised(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    told = config.get("quantization_config") or config.get("quantization")
    seen = known.quantisation
    if not isinstance(told, dict) or known.source or not seen:
        return
    for key in ("bits", "group_size"):
        if key in told and key in seen and told[key] != seen[key]:
            yield Finding(
                "config.conflict", "error", key,
                f"config.json says {key} = {told[key]}, the tensors {seen[key]}: {known.quantised_by}",
                {"field": key, "found": told[key], "tensors": seen[key]}, f"set {key} to {seen[key]}",
            )  # fmt: skip
