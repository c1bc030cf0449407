"""How a model without rows can be divided: by the numbers of its config, and an estimate of what a rank holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mappings.params import Cut, CutKind
from mappings.proof.ranks import LARGEST_TP
from mappings.shards import obstacle as cannot
from mappings.shards import replicas
from tracer.infer.parallel.cache import Cache, windows
from tracer.infer.parallel.result import Obstacle
from tracer.infer.parallel.rows import CACHE_BYTES

Sized = tuple[tuple[int, ...], int]
"""A tensor's shape and its bytes."""

_SPLIT = (
    "num_attention_heads", "n_head", "n_heads", "num_heads", "intermediate_size", "n_inner", "ffn_dim", "d_ff",
    "ffn_hidden_size", "moe_intermediate_size", "shared_expert_intermediate_size",
)  # fmt: skip
_SHARED = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", "multi_query_group_num")
_PADDED = ("vocab_size", "padded_vocab_size")


_MOST_LAYERS = 100_000
"""More are no number of layers."""
_LARGEST = 1 << 40
"""Nor is more the size of anything else."""


def number(fields: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """The first of these fields that is a positive integer, and one that a model may have."""
    return next((v for name in names if type(v := fields.get(name)) is int and 0 < v < _LARGEST), None)


def cuts(fields: Mapping[str, Any]) -> list[tuple[str, Cut, int]]:
    """What tensor parallelism cuts, as far as the fields are known: field, how, size."""
    kinds: tuple[tuple[tuple[str, ...], CutKind], ...] = ((_SPLIT, "split"), (_SHARED, "share"), (_PADDED, "pad"))
    return [
        (name, Cut(kind, name), value) for names, kind in kinds for name in names
        if (value := number(fields, (name,))) and not _latent_heads(fields, kind)
    ]  # fmt: skip


def _latent_heads(fields: Mapping[str, Any], kind: str) -> bool:
    """Latent attention has no KV heads to share: every rank keeps the latent."""
    return kind == "share" and bool(fields.get("kv_lora_rank"))


def obstacles(fields: Mapping[str, Any]) -> dict[int, Obstacle | None]:
    """For every number of ranks the first field that it cannot cut, None where it can cut all that are known."""
    known = cuts(fields)
    return {tp: _obstacle(known, tp) for tp in range(1, LARGEST_TP + 1)}


def _obstacle(known: list[tuple[str, Cut, int]], tp: int) -> Obstacle | None:
    for field, cut, size in known:
        reason = cannot(cut, size, tp)
        if reason:
            return Obstacle(tp, field, size, reason)
    return None


def on_rank(tensors: Iterable[Sized], fields: Mapping[str, Any], tp: int) -> int:
    """An estimate: matrices are divided, k and v no further than there are KV heads, vectors are on every rank."""
    kv = number(fields, _SHARED)
    shared = replicas(Cut("share", "kv"), kv, tp) if kv else 1
    widths = _kv_widths(fields)
    total = 0
    for shape, size in tensors:
        if len(shape) < 2:
            total += size
        else:
            total += -(-size * (shared if shape[0] in widths else 1) // tp)
    return total


def _kv_widths(fields: Mapping[str, Any]) -> set[int]:
    """Rows of k and v, where they are fewer than q's: else no head is ever held twice."""
    heads, kv, dim = number(fields, _SPLIT[:4]), number(fields, _SHARED), head_dim(fields)
    return {kv * dim} if kv and dim and kv != heads else set()


def head_dim(fields: Mapping[str, Any]) -> int | None:
    """The width of a head; of the hidden size where the config does not say."""
    own = number(fields, ("head_dim", "kv_channels"))
    hidden, heads = number(fields, ("hidden_size", "n_embd", "d_model")), number(fields, _SPLIT[:4])
    return own or (hidden // heads if hidden and heads else None)


def layers(fields: Mapping[str, Any]) -> int | None:
    """None where there are more than any model has, too: each is listed."""
    count = number(fields, ("num_hidden_layers", "n_layer", "num_layers", "n_layers"))
    return count if count is None or count < _MOST_LAYERS else None


def cache(fields: Mapping[str, Any], tp: int) -> Cache | None:
    """What a rank keeps of a sequence; None where heads or layers are not known."""
    count = layers(fields)
    if not count:
        return None
    rank = number(fields, ("kv_lora_rank",))
    if rank:
        each = CACHE_BYTES * (rank + (number(fields, ("qk_rope_head_dim",)) or 0))
        return Cache(each * count, latent=True)
    kv, dim = number(fields, _SHARED) or number(fields, _SPLIT[:4]), head_dim(fields)
    if not kv or not dim:
        return None
    each = 2 * CACHE_BYTES * max(1, kv // tp) * dim
    window, having = windows(fields, count)
    short = each * len(having)
    return Cache(each * (count - len(having)), ((window, short),) if short else ())


def copies(fields: Mapping[str, Any], tp: int) -> int:
    """How many ranks hold each KV head."""
    kv = number(fields, _SHARED)
    return replicas(Cut("share", "kv"), kv, tp) if kv and not fields.get("kv_lora_rank") else 1


def expert_count(fields: Mapping[str, Any]) -> int:
    return number(fields, ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")) or 0
