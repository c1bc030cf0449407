"""BLOOM: q, k and v interleaved head by head on disk (as in Megatron), ALiBi, a norm after the embeddings."""

from __future__ import annotations

from mappings.params import embedding, linear, norm
from mappings.rows import Architecture, Entry, Row, Tie

EMBED = embedding("transformer.word_embeddings")
EMBED_NORM = norm("transformer.word_embeddings_layernorm", bias=True)
HEAD = embedding("lm_head")
FINAL_NORM = norm("transformer.ln_f", bias=True)
INPUT_NORM = norm("transformer.h.{layer}.input_layernorm", bias=True)
POST_NORM = norm("transformer.h.{layer}.post_attention_layernorm", bias=True)
QKV = linear(
    "transformer.h.{layer}.self_attention.query_key_value",
    q="head.dim, hidden", k="head.dim, hidden", v="head.dim, hidden", split="head", bias=True,
)  # fmt: skip
OUT = linear("transformer.h.{layer}.self_attention.dense", "hidden, head.dim", split="head", bias=True)
FC = linear("transformer.h.{layer}.mlp.dense_h_to_4h", "ffn, hidden", split="ffn", bias=True)
FC_OUT = linear("transformer.h.{layer}.mlp.dense_4h_to_h", "hidden, ffn", split="ffn", bias=True)

ROWS: list[Entry] = [
    Row("word_embeddings", EMBED),
    Row("word_embeddings_layernorm", EMBED_NORM),
    Row("h.{layer}.input_layernorm", INPUT_NORM),
    Row("h.{layer}.self_attention.query_key_value", QKV["q", "k", "v"], "head.part, hidden"),
    Row("h.{layer}.self_attention.dense", OUT),
    Row("h.{layer}.post_attention_layernorm", POST_NORM),
    Row("h.{layer}.mlp.dense_h_to_4h", FC),
    Row("h.{layer}.mlp.dense_4h_to_h", FC_OUT),
    Row("ln_f", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]

BLOOM = Architecture(
    "BloomForCausalLM",
    also=("BloomModel",),  # the first uploads, without the head, which is tied
    axes={
        "hidden": "hidden_size | n_embed", "head": "n_head | num_attention_heads", "dim": "@hidden / @head",
        "ffn": "4 * @hidden", "vocab": "vocab_size",
    },
    entries=tuple(ROWS),
    flags={"tie_word_embeddings": True, "n_layer": "@num_hidden_layers"},
    layers="n_layer",
    prefixes=("", "transformer."),
)  # fmt: skip
