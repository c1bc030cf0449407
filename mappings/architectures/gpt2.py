"""GPT-2: Conv1D weights stored (in, out), q, k and v fused on disk, tied embeddings, causal masks among the tensors."""

from __future__ import annotations

from mappings.params import embedding, linear, norm
from mappings.rows import Architecture, Entry, Row, Skip, Tie

EMBED = embedding("transformer.wte")
POSITIONS = embedding("transformer.wpe", "position, hidden", pad="")
HEAD = embedding("lm_head")
FINAL_NORM = norm("transformer.ln_f", bias=True)
LN_1 = norm("transformer.h.{layer}.ln_1", bias=True)
LN_2 = norm("transformer.h.{layer}.ln_2", bias=True)
QKV = linear(
    "transformer.h.{layer}.attn.c_attn", q="head.dim, hidden", k="head.dim, hidden", v="head.dim, hidden",
    split="head", bias=True,
)  # fmt: skip
OUT = linear("transformer.h.{layer}.attn.c_proj", "hidden, head.dim", split="head", bias=True)
FC = linear("transformer.h.{layer}.mlp.c_fc", "ffn, hidden", split="ffn", bias=True)
FC_OUT = linear("transformer.h.{layer}.mlp.c_proj", "hidden, ffn", split="ffn", bias=True)

ROWS: list[Entry] = [
    Row("wte", EMBED),
    Row("wpe", POSITIONS),
    Row("h.{layer}.ln_1", LN_1),
    Row("h.{layer}.attn.c_attn", QKV["q", "k", "v"], "hidden, part"),
    Row("h.{layer}.attn.c_proj", OUT, "head.dim, hidden"),
    Row("h.{layer}.ln_2", LN_2),
    Row("h.{layer}.mlp.c_fc", FC, "hidden, ffn"),
    Row("h.{layer}.mlp.c_proj", FC_OUT, "ffn, hidden"),
    Row("ln_f", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
    Skip("h.{layer}.attn.bias", "causal mask, not a weight", derived=True, elements="@position * @position"),
    Skip("h.{layer}.attn.masked_bias", "mask constant, not a weight", derived=True, elements="1"),
]

GPT2 = Architecture(
    "GPT2LMHeadModel",
    axes={
        "hidden": "n_embd", "head": "n_head", "dim": "n_embd / n_head", "ffn": "n_inner | 4 * n_embd",
        "vocab": "vocab_size", "position": "n_positions",
    },
    entries=tuple(ROWS),
    flags={"tie_word_embeddings": True},
    layers="n_layer",
    prefixes=("", "transformer."),
)  # fmt: skip
