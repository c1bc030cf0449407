"""What towers weigh: vision transformers as CLIP and SigLIP have them, and the resampler between one and a decoder.

Sources: Transformers' modelling of CLIP and SigLIP; `resampler.py` of MiniCPM-V 2.6 (https://huggingface.co/openbmb).
Shapes are written as in `tracer.infer.equations`. What a table does not have stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from mappings.names import HOLE
from tracer.doctor.numbers import sections
from tracer.infer.equations import parse, value
from tracer.infer.names import Group

_IN_LAYERS = {
    **dict.fromkeys(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"), "seen, seen"),
    "mlp.fc1": "ffn, seen", "mlp.fc2": "seen, ffn", "layer_norm1": "seen", "layer_norm2": "seen",
}  # fmt: skip
_OUTSIDE = {
    "embeddings.patch_embedding": "seen, channels, patch, patch", "embeddings.position_embedding": "places, seen",
    "embeddings.class_embedding": "seen", "pre_layrnorm": "seen", "post_layernorm": "seen",
}  # fmt: skip
_RESAMPLER = {
    "query": "queries, read", "proj": "read, read", "kv_proj": "read, seen", "attn.out_proj": "read, read",
    "attn.in_proj_weight": "3 read, read", "attn.in_proj_bias": "3 read", "ln_q": "read", "ln_kv": "read",
    "ln_post": "read",
}  # fmt: skip
_LEAVES = (".weight", ".bias")
_CLASS = "embeddings.class_embedding"
_RGB = 3


def atoms_of_towers(config: Mapping[str, Any], hidden: int | None, groups: Iterable[Group]) -> dict[str, int]:
    """What config.json says of its one tower of vision and of what reads it, in `hidden` numbers; empty without one."""
    found = [section for name, section in sections(config) if name.startswith("vision")]
    if len(found) != 1:
        return {}
    said = {"channels": _RGB, **{atom: found[0].get(field) for atom, field in _FIELDS.items() if field in found[0]}}
    atoms = {atom: number for atom, number in said.items() if type(number) is int and number > 0}
    if "image" in atoms and "patch" in atoms:
        more = any(group.template.endswith(_CLASS) for group in groups)
        atoms["places"] = (atoms["image"] // atoms["patch"]) ** 2 + more
    queries = config.get("query_num")
    return atoms | ({"read": hidden} if hidden else {}) | ({"queries": queries} if type(queries) is int else {})


_FIELDS = {
    "seen": "hidden_size", "ffn": "intermediate_size", "patch": "patch_size", "image": "image_size",
    "channels": "num_channels",
}  # fmt: skip


def elements_of(tower: str, group: Group, atoms: Mapping[str, int]) -> int | None:
    """Of each tensor of a template below `tower`; None where that is not known."""
    path = group.template.split(".")
    own = ".".join(path[path.index(tower) + 1 :])
    if tower == "resampler":
        table = _RESAMPLER
    elif HOLE in path:
        own, table = own.rpartition(f"{HOLE}.")[2], _IN_LAYERS
    else:
        table = {f"{root}{module}": text for module, text in _OUTSIDE.items() for root in ("", "vision_model.")}
    leaf = next((leaf for leaf in _LEAVES if own.endswith(leaf)), "")
    text = table.get(own) or table.get(own.removesuffix(leaf))
    if text is None:
        return None
    dims = parse(text)[: 1 if leaf == ".bias" else None]
    extents = [value(form, atoms) for form in dims]
    return prod(extent for extent in extents if extent is not None) if None not in extents else None
