"""config.conflict: rows of q and k that fit heads of another number and size, where config.json's show no order.

Only the product of both is in a shape. Heads of another size are meant where the rows are in order under them, and q
and k more alike at the same frequencies than after any reordering under config.json's. A norm of q or k, or a stored
`inv_freq`, is as long as a head says: then there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mappings.findings import Finding
from tracer.infer.canonical import NESTED, spelled_in, text_config
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, found, measured, not_checked
from tracer.meaning.rotary_reading import Judged, Reading, in_order, judge, likeness, profiles
from tracer.repair.changes import SetField

NAME = "rope-order"
_SIZES = range(8, 513, 4)
_MARGIN = 0.02
"""By how much q and k have to be more alike than after a reordering."""


def examine(
    material: Material, judged: Mapping[str, Judged], mended: Mapping[str, Reading], after: float,
    layers: Sequence[int],
) -> Meant | None:  # fmt: skip
    """`after`: how alike q and k are after a reordering that leaves every layer in order; less than 0 without one.

    None where no other heads fit, or not as well as another order."""
    if _is_testified(material):
        return None
    fitting = [
        (likeness(each["k"].stored.pairs, each["q"].stored.pairs), sizes) for sizes, each in _others(material, layers)
    ]
    if not fitting:
        return None
    alike, (heads, kv, dim) = max(fitting)
    right = {of: mended.get(of, each.stored) for of, each in judged.items()}
    reordered = max(after, likeness(right["k"].pairs, right["q"].pairs) if mended else -1.0)
    if reordered >= alike:
        return None
    own = material.heads
    told = f"{own[0]} and {own[1]} heads of {own[2]} dimensions, the rows fit {heads} and {kv} of {dim}"
    if not mended or alike - reordered < _MARGIN:
        reason = f"config.json has {told}: whether its heads are wrong or the rows in another order is not clear"
        return not_checked(NAME, reason, reason)
    fields = list(_fields(material, heads, kv, dim))
    evidence = measured(
        "likeness of q and k in how long pairs are", alike, reordered + _MARGIN, len(layers), "layers",
        config=list(own), inferred=[heads, kv, dim], reordered=round(reordered, 3),
    )  # fmt: skip
    message = f"config.json has {told}: only so they are in order as they lie (q and k {alike:.2f} alike)"
    fix = "; ".join(f"set {each.field} to {each.value}" for each in fields)
    return found(NAME, told, Finding("config.conflict", "error", fields[0].field, message, evidence, fix), *fields)


def _is_testified(material: Material) -> bool:
    """Whether a tensor says how long a head is."""
    _, _, dim = material.heads
    norms = [part.shape[0] for held in material.vectors("q_norm", "k_norm").values() for part in held]
    return dim in norms or any(2 * part.shape[0] == dim for part in material.buffers("inv_freq"))


def _others(material: Material, layers: Sequence[int]) -> Iterator[tuple[tuple[int, int, int], Mapping[str, Judged]]]:
    """(heads, heads of keys, size) under which everything is in order."""
    parts = {of: [material.of(of)[n] for n in layers] for of in ("q", "k")}
    rows = {of: held[0].shape[0] for of, held in parts.items()}
    for dim in _SIZES:
        heads, kv = rows["q"] // dim, rows["k"] // dim
        fits = rows["q"] % dim == rows["k"] % dim == 0 and kv and heads % kv == 0
        if dim == material.heads[2] or not fits or len(layers) * kv < 3:
            continue
        counts = {"q": heads, "k": kv}
        judged = judge({of: profiles(material, parts[of], counts[of], kv) for of in counts}, counts)
        if in_order(judged):
            yield (heads, kv, dim), judged


def _fields(material: Material, heads: int, kv: int, dim: int) -> Iterator[SetField]:
    """Those that config.json has, and those that do not follow from the others."""
    config = material.config
    prefix = next((f"{key}." for key in NESTED if isinstance(config.get(key), dict)), "")
    text = text_config(config)
    yield SetField(prefix + (spelled_in(text, "heads") or "num_attention_heads"), heads)
    if key := spelled_in(text, "kv_heads"):
        yield SetField(prefix + key, kv)
    elif kv != heads:
        yield SetField(f"{prefix}num_key_value_heads", kv)
    if (key := spelled_in(text, "head_dim")) or heads * dim != material.size("hidden"):
        yield SetField(prefix + (key or "head_dim"), dim)
