"""gpt-oss: experts stacked and transposed on disk, gate and up interleaved element by element (and left so)."""

from __future__ import annotations

from mappings.architectures.llama import AXES as LLAMA_AXES
from mappings.architectures.llama import FACTORS, FINAL_NORM, HEAD, NORMS
from mappings.params import embedding, experts, linear, plain
from mappings.rows import Architecture, Entry, Fill, Row, Tie

EMBED = embedding("model.embedding")
SINKS = plain("model.layers.{layer}.attn.sinks", "head", split="head")
QKV = linear(
    "model.layers.{layer}.attn.qkv_proj", q="head.dim, hidden", k="kv.dim, hidden", v="kv.dim, hidden",
    split="head", share="kv", bias="attention_bias",
)  # fmt: skip
OUT = linear("model.layers.{layer}.attn.o_proj", "hidden, head.dim", split="head", bias="attention_bias")
ROUTER = linear("model.layers.{layer}.mlp.router", "expert, hidden", bias=True, quantised=False)
W13 = experts(
    "model.layers.{layer}.mlp.experts.routed_experts.w13", layout="expert, ffn.part, hidden", bias=True,
    gate="expert, ffn, hidden", up="expert, ffn, hidden",
)  # fmt: skip
W2 = experts("model.layers.{layer}.mlp.experts.routed_experts.w2", "expert, hidden, ffn")
W2_BIAS = plain("model.layers.{layer}.mlp.experts.routed_experts.w2_bias", "expert, hidden")

ROWS: list[Entry] = [
    Row("model.embed_tokens", EMBED),
    *NORMS,
    Row("model.layers.{layer}.self_attn.sinks", SINKS),
    Row("model.layers.{layer}.self_attn.q_proj", QKV["q"]),
    Row("model.layers.{layer}.self_attn.k_proj", QKV["k"]),
    Row("model.layers.{layer}.self_attn.v_proj", QKV["v"]),
    Row("model.layers.{layer}.self_attn.o_proj", OUT),
    Row("model.layers.{layer}.mlp.router", ROUTER),
    Row("model.layers.{layer}.mlp.experts.gate_up_proj", W13["gate", "up"], "expert, hidden, ffn.part", style="bare"),
    Row("model.layers.{layer}.mlp.experts.down_proj", W2, "expert, ffn, hidden", style="bare"),
    Row("model.layers.{layer}.mlp.experts.down_proj_bias", W2_BIAS, rank=0),
    Fill(W2_BIAS.whole, "weight", 0.0, "the experts' output bias is added once, by rank 0", except_rank=0),
    Row("model.norm", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]

GPT_OSS = Architecture(
    "GptOssForCausalLM", LLAMA_AXES | {"expert": "num_local_experts"}, tuple(ROWS), FACTORS,
    flags={"tie_word_embeddings": False, "attention_bias": True},
    silent={"head_dim": 64, "num_key_value_heads": 8},
)  # fmt: skip
