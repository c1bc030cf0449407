"""Fields that shapes or sizes leave to a guess, and that an existing config.json decides where it fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tracer.infer.canonical import atoms_of, canonical, spelled_in, text_config
from tracer.infer.derive import Known
from tracer.infer.fields import TAKEN, Field
from tracer.infer.heads import products

_HEADS = ("heads", "kv_heads", "head_dim")
_WEIGHED = (*_HEADS, "hidden", "vocab", "ffn", "moe_ffn")
"""What the bytes of files are the sum of."""


def decided(
    fields: Sequence[Field], known: Known, config: Mapping[str, Any], findings: Sequence[Finding]
) -> list[Field]:
    """The same, with the config's value for each guess that tensors and config agree on."""
    said, told = _agreed(known, config, findings)
    names = {known.family.spelled(name): name for name in _WEIGHED if name in said}
    return [
        Field(field.name, said[names[field.name]], told, "likely")
        if field.confidence == "guess" and field.name in names else field
        for field in fields
    ]  # fmt: skip


def _agreed(known: Known, config: Mapping[str, Any], findings: Sequence[Finding]) -> tuple[dict[str, int], str]:
    """What the config says by canonical names, as far as it can be taken, and why."""
    said = canonical(config)
    wanted, seen = atoms_of(said), known.solved.atoms
    if known.source:
        own = {name: said[name] for name in _WEIGHED if _stated(config, name, said.get(name))}
        agree = bool(own) and not any(f.code == "config.conflict" for f in findings)
        return (own | _split(wanted), f"{TAKEN}, and the sizes agree") if agree else ({}, "")
    q = seen.get("q")
    kv = seen.get("kv", q)
    if q is None or kv is None or (wanted.get("q"), wanted.get("kv")) != (q, kv):
        return {}, ""
    return _split(wanted), f"{TAKEN}, and the shapes agree: {products(q, kv)}"


def _stated(config: Mapping[str, Any], name: str, value: object) -> bool:
    """Whether a size stands in the config as it is meant: Qwen's counts gate and up together."""
    text = text_config(config)
    return type(value) is int and value > 0 and text.get(spelled_in(text, name) or "") == value


def _split(wanted: Mapping[str, int]) -> dict[str, int]:
    """Heads, as the config has them; where it does not say, as every class takes it to."""
    dim = wanted.get("dim", 0)
    if not dim or "heads" not in wanted:
        return {}
    return {"heads": wanted["heads"], "kv_heads": wanted["kv"] // dim, "head_dim": dim}
