"""Falcon with grouped heads (11B, 40B, 180B): on disk each KV head stands behind the query heads that share it."""

from __future__ import annotations

from mappings.params import embedding, linear, norm
from mappings.rows import Architecture, Entry, Row, Tie

EMBED = embedding("transformer.word_embeddings")
HEAD = embedding("lm_head")
FINAL_NORM = norm("transformer.ln_f", bias=True)
TWO_NORMS = "num_ln_in_parallel_attn == 2"
LN_ATTN = norm("transformer.h.{layer}.ln_attn", bias=True, when=TWO_NORMS)
LN_MLP = norm("transformer.h.{layer}.ln_mlp", bias=True, when=TWO_NORMS)
INPUT_NORM = norm("transformer.h.{layer}.input_layernorm", bias=True, when=f"not {TWO_NORMS}")
QKV = linear(
    "transformer.h.{layer}.self_attention.query_key_value",
    q="head.dim, hidden", k="kv.dim, hidden", v="kv.dim, hidden", split="head", share="kv", bias="bias",
)  # fmt: skip
OUT = linear("transformer.h.{layer}.self_attention.dense", "hidden, head.dim", split="head", bias="bias")
FC = linear("transformer.h.{layer}.mlp.dense_h_to_4h", "ffn, hidden", split="ffn", bias="bias")
FC_OUT = linear("transformer.h.{layer}.mlp.dense_4h_to_h", "hidden, ffn", split="ffn", bias="bias")

ROWS: list[Entry] = [
    Row("word_embeddings", EMBED),
    Row("h.{layer}.self_attention.query_key_value", QKV["q", "k", "v"], "kv.part, hidden"),
    Row("h.{layer}.self_attention.dense", OUT),
    Row("h.{layer}.mlp.dense_h_to_4h", FC),
    Row("h.{layer}.mlp.dense_4h_to_h", FC_OUT),
    Row("h.{layer}.ln_attn", LN_ATTN),
    Row("h.{layer}.ln_mlp", LN_MLP),
    Row("h.{layer}.input_layernorm", INPUT_NORM),
    Row("ln_f", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]

FALCON = Architecture(
    "FalconForCausalLM",
    axes={
        "hidden": "hidden_size", "kv": "num_kv_heads | num_attention_heads", "group": "num_attention_heads / @kv",
        "dim": "hidden_size / num_attention_heads", "ffn": "ffn_hidden_size | 4 * hidden_size", "vocab": "vocab_size",
    },
    entries=tuple(ROWS),
    factors={"head": ("kv", "group")},
    flags={"tie_word_embeddings": True, "bias": False, "num_ln_in_parallel_attn": 2},
    prefixes=("", "transformer."),
    requires={"new_decoder_architecture": True},
)  # fmt: skip
