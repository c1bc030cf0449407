"""DeepSeek-V2 and V3: latent attention (MLA), dense first layers, then shared and routed experts.

Sources: DeepSeek-V2 (arXiv 2405.04434), DeepSeek-V3 (arXiv 2412.19437), the model cards' config.json and headers.
"""

from __future__ import annotations

from mappings.architectures.llama import INPUT, NORMS, OUTPUT, ROTARY
from mappings.names import Domains
from mappings.params import experts, linear, norm, plain
from mappings.rows import Architecture, Entry, Row, Skip
from mappings.sizes import Config, positions

Q_A_NORM = norm("model.layers.{layer}.self_attn.q_a_layernorm", "q_rank", when="q_lora_rank")
KV_A_NORM = norm("model.layers.{layer}.self_attn.kv_a_layernorm", "kv_rank")
# Latent and rotary key are one part: a block scale of the file may straddle them, and no rank cuts either.
QKV_A = linear(
    "model.layers.{layer}.self_attn.fused_qkv_a_proj",
    q="q_rank, hidden", kv="kv_a, hidden", when="q_lora_rank",
)  # fmt: skip
KV_A = linear("model.layers.{layer}.self_attn.kv_a_proj_with_mqa", "kv_a, hidden", when="not q_lora_rank")
Q_B = linear("model.layers.{layer}.self_attn.q_b_proj", "head.qk, q_rank", split="head", when="q_lora_rank")
Q = linear("model.layers.{layer}.self_attn.q_proj", "head.qk, hidden", split="head", when="not q_lora_rank")
KV_B = linear("model.layers.{layer}.self_attn.kv_b_proj", "head.kv_b, kv_rank", split="head")
OUT = linear("model.layers.{layer}.self_attn.o_proj", "hidden, head.vdim", split="head")

GATE_UP = linear("model.layers.{layer:dense}.mlp.gate_up_proj", gate="ffn, hidden", up="ffn, hidden", split="ffn")
DOWN = linear("model.layers.{layer:dense}.mlp.down_proj", "hidden, ffn", split="ffn")

ROUTER = linear("model.layers.{layer:moe}.mlp.gate", "expert, hidden", quantised=False)
ROUTER_BIAS = plain(
    "model.layers.{layer:moe}.mlp.gate.e_score_correction_bias", "expert", dtype="F32", when="topk_noaux"
)
SHARED_GATE_UP = linear(
    "model.layers.{layer:moe}.mlp.shared_experts.gate_up_proj",
    gate="shared_ffn, hidden", up="shared_ffn, hidden", split="shared_ffn", when="n_shared_experts",
)  # fmt: skip
SHARED_DOWN = linear(
    "model.layers.{layer:moe}.mlp.shared_experts.down_proj", "hidden, shared_ffn", split="shared_ffn",
    when="n_shared_experts",
)  # fmt: skip
W13 = experts(
    "model.layers.{layer:moe}.mlp.experts.routed_experts.w13",
    gate="expert, moe_ffn, hidden", up="expert, moe_ffn, hidden",
)  # fmt: skip
W2 = experts("model.layers.{layer:moe}.mlp.experts.routed_experts.w2", "expert, hidden, moe_ffn")

ATTENTION: list[Entry] = [
    Row("model.layers.{layer}.self_attn.q_a_proj", QKV_A["q"]),
    Row("model.layers.{layer}.self_attn.kv_a_proj_with_mqa", QKV_A["kv"]),
    Row("model.layers.{layer}.self_attn.kv_a_proj_with_mqa", KV_A),
    Row("model.layers.{layer}.self_attn.q_proj", Q),
    Row("model.layers.{layer}.self_attn.q_a_layernorm", Q_A_NORM),
    Row("model.layers.{layer}.self_attn.q_b_proj", Q_B),
    Row("model.layers.{layer}.self_attn.kv_a_layernorm", KV_A_NORM),
    Row("model.layers.{layer}.self_attn.kv_b_proj", KV_B),
    Row("model.layers.{layer}.self_attn.o_proj", OUT),
]
DENSE: list[Entry] = [
    Row("model.layers.{layer:dense}.mlp.gate_proj", GATE_UP["gate"]),
    Row("model.layers.{layer:dense}.mlp.up_proj", GATE_UP["up"]),
    Row("model.layers.{layer:dense}.mlp.down_proj", DOWN),
]
MOE: list[Entry] = [
    Row("model.layers.{layer:moe}.mlp.gate", ROUTER),
    Row("model.layers.{layer:moe}.mlp.gate.e_score_correction_bias", ROUTER_BIAS),
    Row("model.layers.{layer:moe}.mlp.shared_experts.gate_proj", SHARED_GATE_UP["gate"]),
    Row("model.layers.{layer:moe}.mlp.shared_experts.up_proj", SHARED_GATE_UP["up"]),
    Row("model.layers.{layer:moe}.mlp.shared_experts.down_proj", SHARED_DOWN),
    Row("model.layers.{layer:moe}.mlp.experts.{expert}.gate_proj", W13["gate"]),
    Row("model.layers.{layer:moe}.mlp.experts.{expert}.up_proj", W13["up"]),
    Row("model.layers.{layer:moe}.mlp.experts.{expert}.down_proj", W2),
]
NEXT_TOKEN: list[Entry] = [
    Skip("model.layers.{layer:mtp}.**", "next-token layer past num_hidden_layers: the draft model loads it"),
]

AXES = {
    "hidden": "hidden_size",
    "head": "num_attention_heads",
    "qk": "qk_nope_head_dim + qk_rope_head_dim",
    "kv_b": "qk_nope_head_dim + v_head_dim",
    "vdim": "v_head_dim",
    "kv_a": "kv_lora_rank + qk_rope_head_dim",
    "q_rank": "q_lora_rank",
    "kv_rank": "kv_lora_rank",
    "ffn": "intermediate_size",
    "moe_ffn": "moe_intermediate_size",
    "shared_ffn": "moe_intermediate_size * n_shared_experts",
    "expert": "n_routed_experts",
    "vocab": "vocab_size",
}


def layers(config: Config) -> Domains:
    """Dense layers first, then routed ones at every `moe_layer_freq`; next-token layers past the last."""
    total, first = config.require("num_hidden_layers"), config.count("first_k_dense_replace")
    every = config.size("moe_layer_freq") or 1
    moe = [i for i in range(total) if i >= first and i % every == 0]
    routed = set(moe)
    more = positions("num_nextn_predict_layers", config.count("num_nextn_predict_layers"))
    dense = [i for i in range(total) if i not in routed]
    return {"layer:moe": moe, "layer:dense": dense, "layer:mtp": range(total, total + more)}


def _deepseek(name: str, flags: dict[str, object]) -> Architecture:
    entries = (*INPUT, *NORMS, *ATTENTION, *DENSE, *MOE, *OUTPUT, *NEXT_TOKEN, *ROTARY)
    return Architecture(name, AXES, entries, flags={"tie_word_embeddings": False} | flags, domains=layers)


DEEPSEEK_V2 = _deepseek("DeepseekV2ForCausalLM", {"topk_noaux": False})
DEEPSEEK_V3 = _deepseek("DeepseekV3ForCausalLM", {"topk_noaux": True})
