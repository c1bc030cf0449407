"""Signatures of state-space models, alone and among attention layers.

Sources: Mamba (arXiv 2312.00752), Mamba-2 (arXiv 2405.21060), Jamba (arXiv 2403.19887) and their model cards.
"""

from __future__ import annotations

from tracer.infer.shapes.decoders import EMBED, ENDS, FINAL, GROUPED, HEAD, NORMS, QKVO
from tracer.infer.shapes.mixtures import DENSE, EXPERTS, ROUTER
from tracer.infer.shapes.signature import Family

MIXER = (
    "convolution @layer: inner, 1, conv\nconvolution bias, D, dt bias @layer: inner\nA @layer: inner, state\n"
    "dt with B and C @layer: dt + 2 state, inner\ndt @layer: inner, dt\nx and z @layer: 2 inner, hidden\n"
    "output @layer: hidden, inner\n"
)
MIXER_BIASES = "x and z bias @layer ?biases: 2 inner\noutput bias @layer ?biases: hidden\n"
INNER = {"inner": "intermediate_size | expand * hidden_size"}
STATE = {"state": "state_size | mamba_d_state", "conv": "conv_kernel | mamba_d_conv"}
DT = {"dt": "time_step_rank | mamba_dt_rank | ceil hidden_size / 16"}

MAMBA = Family(
    "mamba", ("MambaForCausalLM", "FalconMambaForCausalLM"),
    MIXER + "norm @layer: hidden\n" + ENDS + MIXER_BIASES,
    "a convolution and A of inner x state in every layer, no attention", multiples=(("inner", "hidden"),),
    unusual=frozenset({"biases"}), fields=INNER | STATE | DT,
)  # fmt: skip
MAMBA2 = Family(
    "mamba2", ("Mamba2ForCausalLM",),
    "norm @layer: hidden\nmixer norm @layer: inner\noutput @layer: hidden, inner\nA, D, dt bias @layer: heads\n"
    "convolution @layer: inner + 2 groups, 1, conv\nconvolution bias @layer: inner + 2 groups\n"
    "z with x and B and C and dt @layer: 2 inner + 2 groups + heads, hidden\n" + ENDS
    + "input bias @layer ?biases: 2 inner + 2 groups + heads\noutput bias @layer ?biases: hidden\n",
    "a convolution and A of one number a head in every layer, no attention", multiples=(("inner", "heads"),),
    unusual=frozenset({"biases"}),
    fields=STATE | {"inner": "num_heads * head_dim", "groups": "n_groups * state_size", "heads": "num_heads"},
)  # fmt: skip
JAMBA = Family(
    "jamba", ("JambaForCausalLM",),
    MIXER.replace("@layer", "@mamba") + "dt norm @mamba: dt\nB norm, C norm @mamba: state\n" + NORMS
    + QKVO.replace("@layer", "@attention") + (ROUTER + EXPERTS).replace("moe_ffn", "ffn") + DENSE + FINAL + EMBED + HEAD
    + MIXER_BIASES.replace("@layer", "@mamba"),
    "Mamba layers, every so often an attention layer, every other layer with experts", multiples=GROUPED,
    sums=(("layer", "attention", "mamba"), ("layer", "dense", "moe")), unusual=frozenset({"biases"}),
    fields=STATE | DT | {
        "inner": "mamba_expand * hidden_size", "expert": "num_experts",
        "attention": "num_hidden_layers / attn_layer_period", "moe": "num_hidden_layers / expert_layer_period",
    },
)  # fmt: skip

FAMILIES = (MAMBA, MAMBA2, JAMBA)
