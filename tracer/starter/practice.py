"""By what a tensor is for: what it consists of, what vLLM cuts of it over ranks, and what vLLM keeps together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracer.starter.draft import Cuts

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

_FFN, _MOE, _SHARED = Cuts("ffn"), Cuts("moe_ffn ffn"), Cuts("shared_ffn ffn")
CUT: Mapping[str, Cuts] = {
    "embed": Cuts(pad="vocab"), "head": Cuts(pad="vocab"), "q": Cuts("head", "kv"), "out": Cuts("head"),
    "k": Cuts("head", "kv"), "v": Cuts("head", "kv"), "sinks": Cuts("head"), "gate": _FFN, "up": _FFN, "down": _FFN,
    "expert_gate": _MOE, "expert_up": _MOE, "expert_down": _MOE, "experts_gate": _MOE, "experts_up": _MOE,
    "experts_down": _MOE, "shared_gate": _SHARED, "shared_up": _SHARED, "shared_down": _SHARED,
}  # fmt: skip
"""Role -> what vLLM cuts over ranks."""

ON_DISK: Mapping[str, Mapping[str, str]] = {
    "qkv": {"q": "head.dim, hidden", "k": "kv.dim, hidden", "v": "kv.dim, hidden"},
    "gate_up": {"gate": "ffn, hidden", "up": "ffn, hidden"},
}  # fmt: skip
"""Role -> parts that are one tensor in the checkpoint."""

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
