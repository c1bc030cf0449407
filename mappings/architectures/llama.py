"""Llama and the decoders that share its skeleton: Mistral, Qwen2, Qwen3, Phi-3 (fused on disk).

Names and shapes: the model cards' config.json and safetensors headers; parameter names and slice order: vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping

from mappings.params import embedding, linear, norm
from mappings.rows import Architecture, Entry, Row, Skip, Tie

AXES = {
    "hidden": "hidden_size",
    "kv": "num_key_value_heads | num_attention_heads",
    "group": "num_attention_heads / @kv",
    "dim": "head_dim | hidden_size / num_attention_heads",
    "ffn": "intermediate_size",
    "vocab": "vocab_size",
}
FACTORS = {"head": ("kv", "group")}

EMBED = embedding("model.embed_tokens")
HEAD = embedding("lm_head")
FINAL_NORM = norm("model.norm")
INPUT_NORM = norm("model.layers.{layer}.input_layernorm")
POST_NORM = norm("model.layers.{layer}.post_attention_layernorm")
Q_NORM = norm("model.layers.{layer}.self_attn.q_norm", "dim")
K_NORM = norm("model.layers.{layer}.self_attn.k_norm", "dim")

INPUT: list[Entry] = [Row("model.embed_tokens", EMBED)]
OUTPUT: list[Entry] = [
    Row("model.norm", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]
NORMS: list[Entry] = [
    Row("model.layers.{layer}.input_layernorm", INPUT_NORM),
    Row("model.layers.{layer}.post_attention_layernorm", POST_NORM),
]
QK_NORMS: list[Entry] = [
    Row("model.layers.{layer}.self_attn.q_norm", Q_NORM),
    Row("model.layers.{layer}.self_attn.k_norm", K_NORM),
]
ROTARY: list[Entry] = [
    Skip("model.layers.{layer}.self_attn.rotary_emb.inv_freq", "recomputed from rope_theta", True, "@dim / 2"),
    Skip("model.layers.{layer}.self_attn.rotary_emb.cos_cached", "recomputed from rope_theta", derived=True),
    Skip("model.layers.{layer}.self_attn.rotary_emb.sin_cached", "recomputed from rope_theta", derived=True),
    Skip("model.rotary_emb.inv_freq", "recomputed from rope_theta", derived=True, elements="@dim / 2"),
]

QKV = linear(
    "model.layers.{layer}.self_attn.qkv_proj",
    q="head.dim, hidden", k="kv.dim, hidden", v="kv.dim, hidden", split="head", share="kv", bias="qkv_bias",
)  # fmt: skip
OUT = linear("model.layers.{layer}.self_attn.o_proj", "hidden, head.dim", split="head", bias="out_bias")
GATE_UP = linear(
    "model.layers.{layer}.mlp.gate_up_proj", gate="ffn, hidden", up="ffn, hidden", split="ffn", bias="mlp_bias"
)
DOWN = linear("model.layers.{layer}.mlp.down_proj", "hidden, ffn", split="ffn", bias="mlp_bias")

ATTENTION: list[Entry] = [
    Row("model.layers.{layer}.self_attn.q_proj", QKV["q"]),
    Row("model.layers.{layer}.self_attn.k_proj", QKV["k"]),
    Row("model.layers.{layer}.self_attn.v_proj", QKV["v"]),
    Row("model.layers.{layer}.self_attn.o_proj", OUT),
]
MLP: list[Entry] = [
    Row("model.layers.{layer}.mlp.gate_proj", GATE_UP["gate"]),
    Row("model.layers.{layer}.mlp.up_proj", GATE_UP["up"]),
    Row("model.layers.{layer}.mlp.down_proj", DOWN),
]
FUSED_ON_DISK: list[Entry] = [
    Row("model.layers.{layer}.self_attn.qkv_proj", QKV["q", "k", "v"], "part, hidden"),
    Row("model.layers.{layer}.self_attn.o_proj", OUT),
    Row("model.layers.{layer}.mlp.gate_up_proj", GATE_UP["gate", "up"], "part, hidden"),
    Row("model.layers.{layer}.mlp.down_proj", DOWN),
]

# Defaults of the Transformers config classes, for fields that config.json may omit.
NO_BIAS: dict[str, object] = {"qkv_bias": False, "out_bias": False, "mlp_bias": False, "tie_word_embeddings": False}
BIAS_BY_FIELD = NO_BIAS | {
    "qkv_bias": "@attention_bias", "out_bias": "@attention_bias", "attention_bias": "@bias", "bias": False
}  # fmt: skip


SILENT: Mapping[str, Mapping[str, int]] = {
    "MistralForCausalLM": {"num_key_value_heads": 8}, "MixtralForCausalLM": {"num_key_value_heads": 8},
    "Qwen2ForCausalLM": {"num_key_value_heads": 32}, "Qwen3ForCausalLM": {"head_dim": 128, "num_key_value_heads": 32},
}  # fmt: skip
"""Sizes of the config classes, by the class of the model; the others' follow from fields that are there, as all do in
llama.cpp, so that its dialects have none."""


def _decoder(name: str, body: list[Entry], flags: dict[str, object]) -> Architecture:
    entries = (*INPUT, *NORMS, *body, *OUTPUT, *ROTARY)
    return Architecture(name, AXES, entries, FACTORS, flags, silent=SILENT.get(name, {}))


LLAMA = _decoder("LlamaForCausalLM", ATTENTION + MLP, BIAS_BY_FIELD)
MISTRAL = _decoder("MistralForCausalLM", ATTENTION + MLP, BIAS_BY_FIELD)
QWEN2 = _decoder("Qwen2ForCausalLM", ATTENTION + MLP, NO_BIAS | {"qkv_bias": True})
QWEN3 = _decoder("Qwen3ForCausalLM", ATTENTION + QK_NORMS + MLP, BIAS_BY_FIELD)
PHI3 = _decoder("Phi3ForCausalLM", FUSED_ON_DISK, NO_BIAS)
