"""Mixtral: Llama's attention, and experts whose number is in the name; or, in the stacked dialect, in the shape."""

from __future__ import annotations

from mappings.architectures.llama import ATTENTION, AXES, FACTORS, INPUT, NO_BIAS, NORMS, OUTPUT, ROTARY, SILENT
from mappings.params import experts, linear
from mappings.rows import Architecture, Entry, Row

ROUTER = linear("model.layers.{layer}.block_sparse_moe.gate", "expert, hidden", quantised=False)
W13 = experts(
    "model.layers.{layer}.block_sparse_moe.experts.routed_experts.w13",
    gate="expert, ffn, hidden", up="expert, ffn, hidden",
)  # fmt: skip
W2 = experts("model.layers.{layer}.block_sparse_moe.experts.routed_experts.w2", "expert, hidden, ffn")

PER_EXPERT: list[Entry] = [
    Row("model.layers.{layer}.block_sparse_moe.gate", ROUTER),
    Row("model.layers.{layer}.block_sparse_moe.experts.{expert}.w1", W13["gate"]),
    Row("model.layers.{layer}.block_sparse_moe.experts.{expert}.w3", W13["up"]),
    Row("model.layers.{layer}.block_sparse_moe.experts.{expert}.w2", W2),
]
STACKED: list[Entry] = [
    Row("model.layers.{layer}.mlp.gate", ROUTER),
    Row("model.layers.{layer}.mlp.experts.gate_up_proj", W13["gate", "up"], "expert, part, hidden", style="bare"),
    Row("model.layers.{layer}.mlp.experts.down_proj", W2, style="bare"),
]

MOE_AXES = AXES | {"expert": "num_local_experts"}


def _mixtral(moe: list[Entry], dialect: str | None) -> Architecture:
    entries = (*INPUT, *NORMS, *ATTENTION, *moe, *OUTPUT, *ROTARY)
    name = "MixtralForCausalLM"
    return Architecture(name, MOE_AXES, entries, FACTORS, NO_BIAS, silent=SILENT[name], dialect=dialect)


MIXTRAL = _mixtral(PER_EXPERT, None)
MIXTRAL_STACKED = _mixtral(STACKED, "stacked")
