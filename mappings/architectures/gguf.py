"""The names of GGUF files: dialects of the Llama and Qwen families, told over the same parameters.

Names: llama.cpp's tensor list (`gguf-py`, `constants.py`). What is written as llama (Llama, Mistral, Mixtral) has the
rows of q and k in another order: ggml turns neighbouring pairs of a head's dimensions, where the Hub's checkpoints
turn the first half against the second, and the converter reorders them so. Qwen is stored as on the Hub.
"""

from __future__ import annotations

from mappings.architectures import llama, mixtral
from mappings.architectures.llama import (
    BIAS_BY_FIELD,
    DOWN,
    EMBED,
    FINAL_NORM,
    GATE_UP,
    HEAD,
    INPUT_NORM,
    K_NORM,
    NO_BIAS,
    OUT,
    POST_NORM,
    Q_NORM,
    QKV,
)
from mappings.architectures.mixtral import ROUTER, W2, W13
from mappings.rows import Architecture, Entry, Row, Skip, Tie

# A head's dimensions as the Hub stores them: two halves. Rounded up, since every dialect of a name is bound before
# one is chosen, and a head of odd size, which cannot be in a GGUF file, is none of this dialect's business.
HALVES = {"two": "2", "half": "ceil head_dim / 2 | ceil hidden_size / num_attention_heads / 2"}
AXES = {axis: size for axis, size in llama.AXES.items() if axis != "dim"} | HALVES
FACTORS = llama.FACTORS | {"dim": ("two", "half")}

INPUT: list[Entry] = [Row("token_embd", EMBED)]
OUTPUT: list[Entry] = [
    Row("output_norm", FINAL_NORM),
    Row("output", HEAD),
    Tie("output", to=EMBED, param=HEAD),
]
NORMS: list[Entry] = [
    Row("blk.{layer}.attn_norm", INPUT_NORM),
    Row("blk.{layer}.ffn_norm", POST_NORM),
]
QK_NORMS: list[Entry] = [
    Row("blk.{layer}.attn_q_norm", Q_NORM),
    Row("blk.{layer}.attn_k_norm", K_NORM),
]
ROTARY: list[Entry] = [
    Skip("rope_freqs.weight", "divisors of the rotary wavelengths, a function of the rope settings", True, "half"),
    Skip("blk.{layer}.attn_rot_embd.weight", "recomputed from rope_theta", derived=True),
]

QK_IN_HALVES: list[Entry] = [
    Row("blk.{layer}.attn_q", QKV["q"]),
    Row("blk.{layer}.attn_k", QKV["k"]),
]
QK_IN_PAIRS: list[Entry] = [
    Row("blk.{layer}.attn_q", QKV["q"], "head.half.two, hidden"),
    Row("blk.{layer}.attn_k", QKV["k"], "kv.half.two, hidden"),
]
V_OUT: list[Entry] = [
    Row("blk.{layer}.attn_v", QKV["v"]),
    Row("blk.{layer}.attn_output", OUT),
]
MLP: list[Entry] = [
    Row("blk.{layer}.ffn_gate", GATE_UP["gate"]),
    Row("blk.{layer}.ffn_up", GATE_UP["up"]),
    Row("blk.{layer}.ffn_down", DOWN),
]
EXPERTS: list[Entry] = [
    Row("blk.{layer}.ffn_gate_inp", ROUTER),
    Row("blk.{layer}.ffn_gate_exps", W13["gate"]),
    Row("blk.{layer}.ffn_up_exps", W13["up"]),
    Row("blk.{layer}.ffn_down_exps", W2),
]
PER_EXPERT: list[Entry] = [
    Row("blk.{layer}.ffn_gate_inp", ROUTER),
    Row("blk.{layer}.ffn_gate.{expert}", W13["gate"]),
    Row("blk.{layer}.ffn_up.{expert}", W13["up"]),
    Row("blk.{layer}.ffn_down.{expert}", W2),
]


def _decoder(name: str, body: list[Entry], flags: dict[str, object], dialect: str = "gguf") -> Architecture:
    axes = AXES | {"expert": mixtral.MOE_AXES["expert"]} if name == mixtral.MIXTRAL.name else AXES
    return Architecture(name, axes, (*INPUT, *NORMS, *body, *OUTPUT, *ROTARY), FACTORS, flags, dialect=dialect)


LLAMA = _decoder("LlamaForCausalLM", QK_IN_PAIRS + V_OUT + MLP, BIAS_BY_FIELD)
MISTRAL = _decoder("MistralForCausalLM", QK_IN_PAIRS + V_OUT + MLP, BIAS_BY_FIELD)
QWEN2 = _decoder("Qwen2ForCausalLM", QK_IN_HALVES + V_OUT + MLP, NO_BIAS | {"qkv_bias": True})
QWEN3 = _decoder("Qwen3ForCausalLM", QK_IN_HALVES + V_OUT + QK_NORMS + MLP, BIAS_BY_FIELD)
MIXTRAL = _decoder("MixtralForCausalLM", QK_IN_PAIRS + V_OUT + EXPERTS, NO_BIAS)
MIXTRAL_PER_EXPERT = _decoder("MixtralForCausalLM", QK_IN_PAIRS + V_OUT + PER_EXPERT, NO_BIAS, "gguf-per-expert")
