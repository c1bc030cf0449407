"""Signatures of decoders whose feed-forward is an up and a down projection: GPT-2 and those after its kind.

Shapes: the model cards' config.json and the classes of Transformers that they name.
"""

from __future__ import annotations

from tracer.infer.shapes.decoders import EMBED, FINAL, GROUPED, HEAD, QKVO
from tracer.infer.shapes.signature import Family

LAYER_NORMS = "first norm, first norm bias, second norm, second norm bias @layer: hidden\n"
ONE_LAYER_NORM = "norm, norm bias @layer: hidden\n"
FINAL_NORM = "final norm, final norm bias: hidden\n"
POSITIONS = "positions: position, hidden\n"
UP_DOWN = "up @layer: ffn, hidden\ndown @layer: hidden, ffn\n"
UP_DOWN_BIAS = "up bias @layer: ffn\ndown bias @layer: hidden\n"
QKV = "qkv @layer: 3 hidden, hidden\no @layer: hidden, hidden\n"
QKV_BIAS = "qkv bias @layer: 3 hidden\no bias @layer: hidden\n"
APART = "q, k, v, o @layer: hidden, hidden\n"
APART_BIAS = "q bias @layer: q\nk bias, v bias @layer: kv\no bias @layer: hidden\n"
CONV1D = (
    "qkv @layer: hidden, 3 hidden\no @layer: hidden, hidden\nup @layer: hidden, ffn\ndown @layer: ffn, hidden\n"
)
ENDS = FINAL_NORM + EMBED + HEAD
WIDE = (("ffn", "q"),)
"""Without a gate, up and down look like q and o; nobody makes the feed-forward the narrower of them."""
FFN = {"ffn": "n_inner | ffn_hidden_size | intermediate_size | ffn_dim | 4 * hidden_size | 4 * n_embd | 4 * d_model"}

GPT2 = Family(
    "gpt2", ("GPT2LMHeadModel",), LAYER_NORMS + CONV1D + QKV_BIAS + UP_DOWN_BIAS + ENDS + POSITIONS,
    "a table of positions, q, k and v fused, matrices stored (in, out), biases everywhere", fields=FFN,
    greater=(("vocab", "position"),),
)  # fmt: skip
GPT_BIG_CODE = Family(
    "gpt-bigcode", ("GPTBigCodeForCausalLM",),
    LAYER_NORMS + "qkv @layer: hidden + 2 dim, hidden\nqkv bias @layer: hidden + 2 dim\n"
    "o @layer: hidden, hidden\no bias @layer: hidden\n" + UP_DOWN + UP_DOWN_BIAS + ENDS + POSITIONS,
    "a table of positions, q, k and v fused with one KV head, biases everywhere",
    multiples=(("hidden", "dim"),), greater=(("hidden", "dim"), ("vocab", "position")), fields=FFN,
)  # fmt: skip
GPT_NEOX = Family(
    "gpt-neox", ("GPTNeoXForCausalLM",), LAYER_NORMS + QKV + QKV_BIAS + UP_DOWN + UP_DOWN_BIAS + ENDS,
    "q, k and v fused, biases everywhere, no positions and no norm after the embeddings", fields=FFN,
)  # fmt: skip
BLOOM = Family(
    "bloom", ("BloomForCausalLM",),
    LAYER_NORMS + QKV + QKV_BIAS + "up @layer: 4 hidden, hidden\ndown @layer: hidden, 4 hidden\n"
    "up bias @layer: 4 hidden\ndown bias @layer: hidden\nembedding norm, embedding norm bias: hidden\n" + ENDS,
    "as GPT-NeoX, with a norm after the embeddings",
)  # fmt: skip
FALCON = Family(
    "falcon", ("FalconForCausalLM",),
    LAYER_NORMS + "qkv @layer: hidden + 2 kv, hidden\no @layer: hidden, hidden\n" + UP_DOWN + ENDS
    + "qkv bias @layer ?biases: hidden + 2 kv\no bias, down bias @layer ?biases: hidden\nup bias @layer ?biases: ffn\n",
    "q, k and v fused with fewer KV heads, two norms with biases a layer, matrices without",
    multiples=(("hidden", "kv"),), greater=(("hidden", "kv"),), unusual=frozenset({"biases"}),
    fields=FFN | {"kv": "num_kv_heads * hidden_size / num_attention_heads"},
)  # fmt: skip
FALCON_7B = Family(
    "falcon", ("FalconForCausalLM",),
    ONE_LAYER_NORM + "qkv @layer: hidden + 2 kv, hidden\no @layer: hidden, hidden\n" + UP_DOWN + ENDS
    + "qkv bias @layer ?biases: hidden + 2 kv\no bias, down bias @layer ?biases: hidden\nup bias @layer ?biases: ffn\n",
    "q, k and v fused with fewer KV heads, one norm with a bias a layer, matrices without",
    multiples=(("hidden", "kv"),), greater=(("hidden", "kv"),), unusual=frozenset({"biases"}),
    fields=FFN | {
        "kv": "num_kv_heads * hidden_size / num_attention_heads | hidden_size / num_attention_heads",
    },
)  # fmt: skip
OPT = Family(
    "opt", ("OPTForCausalLM",),
    LAYER_NORMS + APART + "q bias, k bias, v bias, o bias @layer: hidden\n" + UP_DOWN + UP_DOWN_BIAS + ENDS
    + "positions: position + 2, hidden\n",
    "a table of positions, q, k, v and o apart, biases everywhere", greater=(("vocab", "position"),), fields=FFN,
)  # fmt: skip
GPT_NEO = Family(
    "gpt-neo", ("GPTNeoForCausalLM",),
    LAYER_NORMS + APART + "o bias @layer: hidden\n" + UP_DOWN + UP_DOWN_BIAS + ENDS + POSITIONS,
    "a table of positions, q, k, v and o apart, no biases on q, k and v", greater=(("vocab", "position"),), fields=FFN,
)  # fmt: skip
GPT_J = Family(
    "gpt-j", ("GPTJForCausalLM",),
    ONE_LAYER_NORM + APART + UP_DOWN + UP_DOWN_BIAS + ENDS + "head bias: vocab\n",
    "one norm a layer, attention without biases, feed-forward and head with", fields=FFN,
)  # fmt: skip
PHI = Family(
    "phi", ("PhiForCausalLM",),
    ONE_LAYER_NORM + QKVO + APART_BIAS + UP_DOWN + UP_DOWN_BIAS + ENDS + "head bias: vocab\n",
    "one norm a layer, q, k and v apart, biases everywhere and on the head",
    multiples=GROUPED, greater=WIDE, fields=FFN,
)  # fmt: skip
PHI_FUSED = Family(
    "phi-mixformer", ("MixFormerSequentialForCausalLM", "PhiForCausalLM"),
    ONE_LAYER_NORM + QKV + QKV_BIAS + UP_DOWN + UP_DOWN_BIAS + ENDS + "head bias: vocab\n"
    "rotary frequencies @layer ?rotary: half\n",
    "one norm a layer, q, k and v fused, biases everywhere and on the head", fields=FFN,
)  # fmt: skip
MPT = Family(
    "mpt", ("MPTForCausalLM", "MptForCausalLM"),
    "first norm, second norm @layer: hidden\n" + QKV + UP_DOWN + FINAL + EMBED + HEAD,
    "q, k and v fused, up and down, not a single bias",
    fields=FFN | {"hidden": "d_model", "layer": "n_layers"},
)  # fmt: skip
STARCODER2 = Family(
    "starcoder2", ("Starcoder2ForCausalLM",), LAYER_NORMS + QKVO + APART_BIAS + UP_DOWN + UP_DOWN_BIAS + ENDS,
    "as OPT, without positions and with fewer KV heads", multiples=GROUPED, greater=WIDE,
)  # fmt: skip
NEMOTRON = Family(
    "nemotron", ("NemotronForCausalLM",), LAYER_NORMS + QKVO + UP_DOWN + ENDS,
    "q, k, v and o, up and down, norms with biases, matrices without", multiples=GROUPED, greater=WIDE,
)  # fmt: skip

FAMILIES = (
    GPT2, GPT_BIG_CODE, GPT_NEOX, BLOOM, FALCON, FALCON_7B, OPT, GPT_NEO, GPT_J, PHI, PHI_FUSED, MPT, STARCODER2,
    NEMOTRON,
)  # fmt: skip
