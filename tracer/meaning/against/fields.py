"""config.conflict: fields that two models of one architecture compute with, and that are not the same in both.

Sizes that the tensors show (layers, vocabulary, widths) are left to the tensors; an absent field stands for a default
that only a class knows, and is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isclose
from typing import Any, NamedTuple

from mappings.findings import Finding
from tracer.infer.canonical import ALIASES, NESTED, text_config
from tracer.meaning.conventions import model_type
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, fine, found, not_checked
from tracer.repair.changes import SetField

NAME = "reference-config"
HEADS = ("heads", "kv_heads", "head_dim")
_COMPUTED = ("heads", "kv_heads", "head_dim", "active", "theta", "eps", "act", "nope", "rope", "v_dim")
"""Canonical names of fields that no shape, or only a product of several, shows."""
_KEYS = re.compile(
    r"softcap|multiplier|_scal(e|ing|ar)$|^scale_|window$|^partial_rotary|^rotary_(pct|dim)$|^norm_topk|^scoring_func"
    r"|^n_group$|^topk_group$|^clip_qkv$|parallel|^alibi$|^attention_chunk|^use_qk_norm$|^layer_norm"
)
"""Others that a pass over a prompt depends on, as families spell them."""
_ROTARY = ("rope_parameters", "rope_scaling")
_TUNED = re.compile(r"theta|rope|rotary|window|chunk|factor")
"""Fields that are changed with more training, or for longer texts."""
_CLOSE = 1e-6
"""GGUF files keep in float32 what config.json says in decimals."""
_ANY = object()


class Field(NamedTuple):
    """One of them."""

    path: str
    """As this side's config.json has it, dots going into objects."""
    ours: Any
    theirs: Any


def examine(material: Material, reference: Material, *, is_same: bool) -> Meant:
    """`is_same`: the tensors are the reference's, not a fine-tune of them."""
    mine, theirs = model_type(material.config), model_type(reference.config)
    if mine != theirs:
        reason = f"the reference is {theirs or 'of no model_type'}, and this one is {mine or 'of none'}"
        return not_checked(NAME, reason, f"config.json not held against the reference's: {reason}")
    differing = list(differences(material.config, reference.config))
    if not differing:
        return fine(NAME, "what config.json computes with is what the reference's does")
    told = ", ".join(f"{each.path} is {each.ours!r} here and {each.theirs!r} in the reference" for each in differing)
    tuned = not is_same and all(_TUNED.search(each.path) for each in differing)
    finding = Finding(
        "config.conflict", "warning" if tuned else "error", differing[0].path,
        f"{told}: the weights are the reference's and would be computed with otherwise" if is_same else told,
        {each.path: [each.ours, each.theirs] for each in differing},
        "; ".join(f"set {each.path} to {each.theirs!r}" for each in differing),
    )  # fmt: skip
    changes = () if tuned else [SetField(each.path, each.theirs) for each in differing]
    return found(NAME, told, finding, *changes)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Field]:
    """In this side's order."""
    prefix = next((f"{key}." for key in NESTED if isinstance(ours.get(key), dict)), "")
    mine, other = (dict(_flat(text_config(config))) for config in (ours, theirs))
    for name, (path, value) in mine.items():
        _, wanted = other.get(name, ("", _ANY))
        if wanted is not _ANY and value is not None and wanted is not None and not _equal(value, wanted):
            yield Field(prefix + path, value, wanted)


def _flat(text: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Any]]]:
    """One name whatever the spelling -> how it is spelt here, and the value."""
    canonical: dict[str, str] = {key: name for name in _COMPUTED for key in ALIASES[name]}
    for key, value in text.items():
        if key in canonical or _KEYS.search(key):
            yield canonical.get(key, key), (key, value)
    for within in _ROTARY:
        inner: object = text.get(within)
        for key, value in inner.items() if isinstance(inner, dict) else ():
            name = "rope_type" if key == "type" else canonical.get(key) or str(key)
            if not isinstance(value, dict):
                yield name, (f"{within}.{key}", value)
    heads, hidden = (_number(text, name) for name in ("heads", "hidden"))
    if heads and hidden and not _number(text, "head_dim") and hidden % heads == 0:
        yield "head_dim", ("head_dim", hidden // heads)


def _number(text: Mapping[str, Any], name: str) -> int:
    return next((text[key] for key in ALIASES[name] if type(text.get(key)) is int), 0)


def _equal(own: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (own, other))
    return isclose(own, other, rel_tol=_CLOSE) if numbers else bool(own == other)
