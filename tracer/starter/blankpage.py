"""An architecture without rows: only the axes that the tensors show, after the config fields that have their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mappings.rows import Architecture
from tracer.infer.canonical import canonical, spelled_in, text_config
from tracer.infer.derive import Known, experts_of
from tracer.infer.heads import heads_of

_AXES = {
    "hidden": "hidden", "vocab": "vocab", "ffn": "ffn", "moe_ffn": "moe_ffn", "shared_ffn": "shared_ffn",
    "experts": "expert", "positions": "position", "kv_heads": "kv", "head_dim": "dim",
}  # fmt: skip
"""Canonical field -> axis."""


def blank_page(name: str, config: Mapping[str, Any], known: Known | None, layers: str) -> Architecture:
    """Axes and factors, no rows."""
    sizes = _sizes(config, known)
    axes = {axis: _expression(field, sizes[field], config) for field, axis in _AXES.items() if field in sizes}
    factors: dict[str, tuple[str, ...]] = {}
    heads, kv = sizes.get("heads"), sizes.get("kv_heads")
    if heads and kv and heads % kv == 0:
        spelled = _expression("heads", heads, config)
        axes["group"] = f"{spelled} / @kv"
        factors["head"] = ("kv", "group")
    return Architecture(name, axes, (), factors, layers=layers)


def _sizes(config: Mapping[str, Any], known: Known | None) -> dict[str, int]:
    """Canonical field -> number: as the tensors tell it, else as the config does."""
    said = {key: value for key, value in canonical(config).items() if type(value) is int and value > 0}
    atoms = dict(known.solved.atoms) if known else {}
    found = {**said, **{key: value for key, value in atoms.items() if key in _AXES}}
    heads = heads_of(known.names, atoms, known.published) if known else None
    q, kv = atoms.get("q"), atoms.get("kv")
    if "heads" not in said and heads is not None:
        found |= {"heads": heads.heads, "kv_heads": heads.kv_heads, "head_dim": heads.dim}
    elif "heads" in said and q and q % said["heads"] == 0:
        found["head_dim"] = q // said["heads"]
        if kv and kv % found["head_dim"] == 0:
            found["kv_heads"] = kv // found["head_dim"]
    elif "heads" in said and "hidden" in found and found["hidden"] % said["heads"] == 0:
        found.setdefault("head_dim", found["hidden"] // said["heads"])
    if "experts" not in found and known and (experts := experts_of(known.names)[0]):
        found["experts"] = experts
    if "heads" in found:
        found.setdefault("kv_heads", found["heads"])
    return found


def _expression(field: str, value: int, config: Mapping[str, Any]) -> str:
    """The field of the config that says so, or the number."""
    spelled = spelled_in(text_config(config), field)
    return spelled if spelled and config.get(spelled) == value else str(value)
