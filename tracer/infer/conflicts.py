"""An existing config.json against what the tensors say. The tensors outrank it; one cause is one finding.

Where there are shapes they decide. Where only sizes are known, a config whose own numbers come out to the byte is
right; of one that does not, the field is looked for that would make it come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from mappings.findings import Finding, Severity, Unchecked
from mappings.names import HOLE
from tracer.checkpoint.dtypes import BITS, from_config
from tracer.infer.canonical import NESTED, atoms_of, canonical, spelled_in, text_config
from tracer.infer.derive import Known, experts_of, layers_of
from tracer.infer.families import BY_MODEL_TYPE
from tracer.infer.loads import Load, Reading, Scale
from tracer.infer.resolve import Fit, resolve
from tracer.infer.scales import BOUNDS, HABITS, with_habits
from tracer.report.words import plural

_BEHIND: Mapping[str, tuple[str, ...]] = {
    "q": ("hidden", "heads", "dim", "qb"), "kv": ("hidden", "q", "dim"), "qb": ("hidden", "heads"),
    "kvb": ("heads", "qb"), "vo": ("heads", "qb"), "half": ("dim", "q"), "dim": ("hidden",),
}  # fmt: skip
"""Products that are wrong because something before them is."""
_FIELD: Mapping[str, str] = {
    "q": "heads", "kv": "kv_heads", "qb": "heads", "kvb": "nope", "vo": "v_dim", "dim": "head_dim", "half": "head_dim",
}  # fmt: skip
"""The field that is taken for the cause of a wrong product."""
_SEEING = ("vision", "visual", "image", "audio", "mm_", "video", "speech", "projector")


def against(known: Known, config: Mapping[str, Any], scale_found: tuple[list[Finding], list[Unchecked]]) -> tuple[
    list[Finding], list[Unchecked]
]:  # fmt: skip
    """Findings of names and shapes, then what `of_sizes` found."""
    said = canonical(config)
    found = [*_depth(known, said, config), *_experts(known, said, config), *_shapes(known, said, config)]
    found += [*_tying(known, said, config), *_biases(known, config), *_towers(known, config), *_drafts(known, config)]
    found += [*_quantised(known, config)]
    more, unchecked = scale_found
    return [*found, *more], unchecked


def _conflict(
    config: Mapping[str, Any], name: str, said: Any, seen: Any, told: str, severity: Severity = "error"
) -> Finding:  # fmt: skip
    spelled = spelled_in(text_config(config), name) or name
    return Finding(
        "config.conflict", severity, spelled, f"config.json says {spelled} = {said}, the tensors {seen}: {told}",
        {"field": spelled, "found": said, "tensors": seen}, f"set {spelled} to {seen}",
    )  # fmt: skip


def _depth(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    here, missing, told = layers_of(known.names)
    if here and "layers" in said and not missing and here[0] == 0 and said["layers"] != len(here):
        extra = len(here) - said["layers"] if isinstance(said["layers"], int) else 0
        if not 0 < extra <= int(said.get("drafts") or 0):
            yield _conflict(config, "layers", said["layers"], len(here), told)


def _experts(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    count, told = experts_of(known.names)
    if count and isinstance(said.get("experts"), int) and said["experts"] != count:
        yield _conflict(config, "experts", said["experts"], count, told)


def _shapes(known: Known, said: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Finding]:
    """Every product that shapes show, against the one that the config's fields give."""
    if known.source:
        return
    wanted, seen = atoms_of(said), known.solved.atoms
    wrong = [atom for atom in seen if atom in wanted and wanted[atom] != seen[atom] and atom != "positions"]
    for atom in wrong:
        if any(behind in wrong for behind in _BEHIND.get(atom, ())) or (atom == "heads" and "q" in wrong):
            continue
        if atom == "ffn" and "hidden" in wrong and spelled_in(text_config(config), "ffn") is None:
            continue
        if atom == "vocab":
            yield _vocabulary(known, config, wanted[atom], seen[atom])
        elif atom in _FIELD:
            yield _product(known, said, config, atom, wanted[atom], seen[atom])
        elif atom not in ("experts",) or experts_of(known.names)[0] is None:
            yield _conflict(config, atom, wanted[atom], seen[atom], known.told(atom))


def _vocabulary(known: Known, config: Mapping[str, Any], said: int, rows: int) -> Finding:
    return _conflict(config, "vocab", said, rows, known.told("vocab"))


def _product(
    known: Known, said: Mapping[str, Any], config: Mapping[str, Any], atom: str, wanted: int, seen: int
) -> Finding:  # fmt: skip
    """heads x head_dim: the count is what is named, where it would come out with the width that the config has."""
    field = _FIELD[atom]
    if atom in ("dim", "half"):
        return _conflict(config, field, said.get(field, wanted), seen * (2 if atom == "half" else 1), known.told(atom))
    dim = said.get("head_dim") or (said["hidden"] // said["heads"] if said.get("heads") and said.get("hidden") else 0)
    width = known.solved.atoms.get("dim") or dim
    value: Any = seen // width if atom in ("q", "kv") and width and seen % width == 0 else f"{seen} in all"
    told = f"{known.told(atom)}, where config.json's fields make {wanted}"
    return _conflict(config, field, said.get(field, f"{wanted} in all"), value, told)


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
    elif explicit is False and not heads and known.whole and _needs_head(known):
        yield Finding(
            "tie.conflict", "error", "tie_word_embeddings",
            "config.json says tie_word_embeddings = false, but no head is stored", {},
            "set tie_word_embeddings to true",
        )  # fmt: skip


def _needs_head(known: Known) -> bool:
    """Whether it is a decoder that speaks: with an embedding, layers, and no classes."""
    return known.names.has("embed") and bool(known.names.stack) and not known.names.has("classes")


def _biases(known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Only fields that name one layer's biases: `bias` and `use_bias` mean something else in every family."""
    text = text_config(config)
    for field, roles in (("attention_bias", ("q", "qkv")), ("mlp_bias", ("down",))):
        groups = [group for group in known.names.groups if group.role in roles]
        stored = any(group.leaf == "bias" for group in groups)
        if groups and type(text.get(field)) is bool and text[field] != stored:
            yield _conflict(config, field, text[field], stored, groups[0].template, "error" if stored else "warning")


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
        yield _conflict(config, field, said, 0, "no layer that drafts tokens is stored", "warning")


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


# --- sizes ---

_NEAR = 1024
"""Tokens that are added to a vocabulary, or rows that pad it."""
_WIDTHS = (128, 64, 256, 96, 80, 192)
_FREE = frozenset({"mask", "added", "classes"})
"""Atoms that no field of a config tells."""


def of_sizes(
    scales: list[Scale], known: Known, config: Mapping[str, Any]
) -> tuple[list[Finding], list[Unchecked]]:  # fmt: skip
    """Whether the config's own numbers come out; if not, with which other value of one field they would."""
    said = canonical(config)
    atoms = atoms_of(said)
    if not scales or "hidden" not in atoms:
        reason = "neither sizes nor a total are known" if not scales else "config.json lacks the sizes to weigh with"
        return [], [Unchecked("config against sizes", reason)]
    ways = [(reading, loads) for scale in scales for reading in scale.readings() if (loads := _exact(scale, reading))]
    if not ways:
        return [], [Unchecked("config against sizes", "every file holds tensors whose size nobody knows")]
    misfits = {}
    for reading, loads in ways:
        fit = _comes_out(loads, atoms)
        if fit is not None and not fit.misfits:
            return list(_width(reading, known, config)), []
        if fit is not None:
            misfits[reading] = len(fit.misfits)
    for repair in (_near_vocabulary, _other_keys, _other_heads, _other_width, _any_vocabulary):
        for reading, loads in ways:
            found = repair(loads, atoms)
            if found is not None and len(found.misfits) < misfits.get(reading, len(loads)):
                return [_repaired(found, atoms, said, config)], []
    total = [found for reading, loads in ways if reading in misfits and (found := _other_total(loads, atoms))]
    if misfits:
        return [_repaired(total[0], atoms, said, config)] if total else [], []
    return [], [Unchecked("config against sizes", "the sizes come out with no single change of config.json")]


def _exact(scale: Scale, reading: Reading) -> list[Load]:
    return [load for load in scale.loads(reading) if load.low != -float("inf")]


def _comes_out(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """The fit of all loads that disagrees with fewest, if nothing had to be made up for it but what no field tells."""
    allowed = {*atoms, *_FREE, *(name for habit in HABITS for name in habit)}
    found = [fit for fit in with_habits(loads, atoms) if fit.exact and set(fit.atoms) <= allowed]
    return min(found, key=lambda fit: len(fit.misfits), default=None)


def _without(loads: list[Load], atoms: Mapping[str, int], atom: str) -> Fit | None:
    """Everything comes out, with another value of one atom."""
    if atom not in atoms:
        return None
    fit = resolve(loads, {name: value for name, value in atoms.items() if name != atom}, BOUNDS)
    return fit if fit is not None and not fit.open and fit.exact and fit.atoms.get(atom, 0) != atoms[atom] else None


def _near_vocabulary(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "vocab")
    return fit if fit is not None and abs(fit.atoms.get("vocab", 0) - atoms["vocab"]) <= _NEAR else None


def _other_total(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """Files that come out, and a total that does with another vocabulary: two uploads in one folder."""
    return _near_vocabulary([load for load in loads if load.of == "total_size"], atoms)


def _any_vocabulary(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "vocab")
    return fit if fit is not None and fit.spare > 0 else None


def _other_keys(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    fit = _without(loads, atoms, "kv")
    if fit is None or "kv" not in fit.atoms:
        return None
    kv = fit.atoms["kv"]
    return fit if kv % max(1, atoms.get("dim", 1)) == 0 and atoms.get("q", 0) % kv == 0 else None


def _other_heads(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    """Another width of a head, and with it another number of KV heads: the one is read off the other."""
    heads = atoms.get("heads", 0)
    for dim in _WIDTHS if heads else ():
        for kv in (n for n in range(1, heads + 1) if heads % n == 0):
            own = {"q": heads * dim, "kv": kv * dim, "dim": dim, "half": dim // 2}
            fit = _comes_out(loads, {**atoms, **own})
            if fit is not None:
                return fit
    return None


def _other_width(loads: list[Load], atoms: Mapping[str, int]) -> Fit | None:
    for atom in ("ffn", "moe_ffn", "shared_ffn"):
        fit = _without(loads, atoms, atom)
        if fit is not None and fit.atoms.get(atom, 1) % 32 == 0:
            return fit
    return None


def _repaired(
    fit: Fit, atoms: Mapping[str, int], said: Mapping[str, Any], config: Mapping[str, Any]
) -> Finding:  # fmt: skip
    """One finding for whatever changed together."""
    order = ("vocab", "kv", "q", "ffn", "moe_ffn", "shared_ffn")
    atom = next((name for name in order if name in atoms and fit.atoms.get(name) != atoms[name]), "hidden")
    field, value = _FIELD.get(atom, atom), fit.atoms.get(atom, 0)
    if atom in ("kv", "q"):
        value //= max(1, fit.atoms.get("dim", 1))
    agree = "agrees" if fit.agreeing == 1 else "agree"
    told = f"{plural(fit.agreeing, 'known size')} {agree}" + (f", {len(fit.misfits)} not" if fit.misfits else "")
    if atom == "kv" and fit.atoms.get("dim") != atoms.get("dim"):
        told += f", with heads of {fit.atoms['dim']} instead of {atoms['dim']}"
    return _conflict(config, field, said.get(field, said.get("heads") if atom == "kv" else atoms[atom]), value, told)


def _width(reading: Reading, known: Known, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Bytes an element, where config.json states a data type and nothing is quantised."""
    text = text_config(config)
    stated = text.get("torch_dtype") or text.get("dtype")
    told = from_config(stated) if isinstance(stated, str) else None
    if told and not known.quantisation and BITS[told] // 8 != reading.width:
        yield Finding(
            "config.conflict", "warning", "torch_dtype",
            f"config.json says torch_dtype = {stated}, the sizes come out with {reading.width} bytes an element",
            {"field": "torch_dtype", "found": stated, "bytes": reading.width}, "correct torch_dtype",
        )  # fmt: skip
