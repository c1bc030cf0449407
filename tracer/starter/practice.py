"""What a tensor consists of by what it is for, what vLLM cuts of it over ranks, and what vLLM keeps in one parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "embed": ("vocab, hidden",), "head": ("vocab, hidden",), "embed_norm": ("hidden",),
    "positions": ("position, hidden",), "norm": ("hidden",),
    "q": ("head.dim, hidden",), "k": ("kv.dim, hidden", "head.dim, hidden"),
    "v": ("kv.dim, hidden", "head.dim, hidden"), "out": ("hidden, head.dim", "head.dim, hidden"),
    "q_norm": ("dim", "head.dim"), "k_norm": ("dim", "kv.dim", "head.dim"), "sinks": ("head",),
    "gate": ("ffn, hidden", "hidden, ffn"), "up": ("ffn, hidden", "hidden, ffn"),
    "down": ("hidden, ffn", "ffn, hidden"), "router": ("expert, hidden",), "router_bias": ("expert",),
    "expert_gate": ("moe_ffn, hidden", "ffn, hidden"), "expert_up": ("moe_ffn, hidden", "ffn, hidden"),
    "expert_down": ("hidden, moe_ffn", "hidden, ffn"),
    "experts_gate": ("expert, moe_ffn, hidden", "expert, ffn, hidden"),
    "experts_up": ("expert, moe_ffn, hidden", "expert, ffn, hidden"),
    "experts_down": ("expert, hidden, moe_ffn", "expert, hidden, ffn"),
    "shared_gate": ("shared_ffn, hidden", "ffn, hidden"), "shared_up": ("shared_ffn, hidden", "ffn, hidden"),
    "shared_down": ("hidden, shared_ffn", "hidden, ffn"), "shared_router": ("1, hidden",),
}  # fmt: skip
"""Role -> what its tensor consists of, the usual one first."""

CUT: Mapping[str, Mapping[str, str]] = {
    "embed": {"pad": "vocab"}, "head": {"pad": "vocab"}, "q": {"split": "head"}, "out": {"split": "head"},
    "k": {"share": "kv", "split": "head"}, "v": {"share": "kv", "split": "head"}, "sinks": {"split": "head"},
    **dict.fromkeys(("gate", "up", "down"), {"split": "ffn"}),
    **dict.fromkeys(("expert_gate", "expert_up", "expert_down"), {"split": "moe_ffn ffn"}),
    **dict.fromkeys(("experts_gate", "experts_up", "experts_down"), {"split": "moe_ffn ffn"}),
    **dict.fromkeys(("shared_gate", "shared_up", "shared_down"), {"split": "shared_ffn ffn"}),
}  # fmt: skip
"""Role -> what vLLM cuts over ranks."""

QUANTISED = frozenset(CUT) - {"embed", "head", "sinks"}


class Fusion(NamedTuple):
    """Modules that vLLM keeps in one parameter."""

    roles: Mapping[str, str]
    """Role -> part."""
    name: str
    """The parameter beside them."""
    expert: bool = False


FUSIONS = (
    Fusion({"q": "q", "k": "k", "v": "v"}, "qkv_proj"),
    Fusion({"gate": "gate", "up": "up"}, "gate_up_proj"),
    Fusion({"shared_gate": "gate", "shared_up": "up"}, "gate_up_proj"),
    Fusion({"expert_gate": "gate", "expert_up": "up"}, "routed_experts.w13", True),
    Fusion({"expert_down": ""}, "routed_experts.w2", True),
    Fusion({"experts_gate": "gate", "experts_up": "up"}, "experts.routed_experts.w13", True),
    Fusion({"experts_down": ""}, "experts.routed_experts.w2", True),
)
"""vLLM's names (`QKVParallelLinear`, `MergedColumnParallelLinear`, `FusedMoE`)."""
