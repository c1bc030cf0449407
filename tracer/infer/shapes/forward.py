"""A signature read forward: config fields -> widths -> the shapes of a whole checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from math import prod

from mappings.rows import Architecture
from mappings.sizes import Config, ConfigError, Sizes
from tracer.infer.shapes.signature import Family, Role, Widths
from tracer.infer.shapes.solve import derived_layers

USUAL: Mapping[str, str] = {
    "hidden": "hidden_size | n_embd | n_embed | d_model | dim",
    "layer": "num_hidden_layers | n_layer | num_layers | n_layers",
    "q": "num_attention_heads * head_dim | hidden_size | n_embd | d_model",
    "kv": "num_key_value_heads * head_dim | num_key_value_heads * hidden_size / num_attention_heads"
    " | num_attention_heads * head_dim | hidden_size | n_embd | d_model",
    "dim": "head_dim | hidden_size / num_attention_heads | n_embd / n_head",
    "ffn": "intermediate_size",
    "moe_ffn": "moe_intermediate_size",
    "expert": "num_experts",
    "vocab": "vocab_size",
    "position": "n_positions | max_position_embeddings",
}
"""Width -> size expression over config fields, where a family does not say otherwise."""


def widths_of(family: Family, fields: Mapping[str, object]) -> dict[str, int]:
    """The widths that a config gives; those that need a field which is absent or no size are left out."""
    axes = {**USUAL, **family.fields}
    sizes = Sizes(Architecture(family.name, axes, ()), Config(fields))
    found = {}
    for width in dict.fromkeys([*family.widths, *(kind for kinds in family.sums for kind in kinds)]):
        try:
            found[width] = sizes[width]
        except (ConfigError, KeyError):
            continue
    found = derived_layers(family, found)
    if "moe" not in found and "layer" in found and "moe" in family.widths:
        found |= {"moe": found["layer"], "dense": 0}
    return found


def described(family: Family, widths: Widths, tags: Collection[str]) -> Counter[tuple[int, ...]]:
    """How many tensors of which shape. Raises ValueError where a width is missing."""
    counts: Counter[tuple[int, ...]] = Counter()
    for role in family.roles:
        if role.tag in ("", *tags):
            times = len(role.names) * repeats(role, widths)
            if times:
                counts[shape_of(role, widths)] += times
    return counts


def repeats(role: Role, widths: Widths) -> int:
    """How often a role recurs. Raises ValueError where that is not known."""
    missing = [axis for axis in role.repeat if axis not in widths]
    if missing:
        raise ValueError(f"{role.names[0]} recurs over {missing[0]}, which is not known")
    return prod(widths[axis] for axis in role.repeat)


def shape_of(role: Role, widths: Widths) -> tuple[int, ...]:
    """The shape of a role's tensors, (out, in). Raises ValueError where a width is missing."""
    sizes = [extent.size(widths) for extent in role.shape]
    if any(size is None for size in sizes):
        missing = next(width for extent in role.shape for width in extent.unknown(widths))
        raise ValueError(f"{role.names[0]} has the width {missing}, which is not known")
    return tuple(size for size in sizes if size is not None)
