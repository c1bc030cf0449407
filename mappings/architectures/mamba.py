"""Mamba and Mamba-2: one input projection made of sections that are cut one by one; A is stored as log(-A).

Sources: Mamba (arXiv 2312.00752), Mamba-2 (arXiv 2405.21060), the converted `-hf` model cards.
"""

from __future__ import annotations

from typing import NamedTuple

from mappings.params import Param, embedding, linear, norm, plain
from mappings.rows import Architecture, Entry, Row, Tie

EMBED = embedding("backbone.embeddings")
HEAD = embedding("lm_head")
FINAL_NORM = norm("backbone.norm_f")
NORM = norm("backbone.layers.{layer}.norm")

INPUT: list[Entry] = [
    Row("backbone.embeddings", EMBED),
    Row("backbone.layers.{layer}.norm", NORM),
]
OUTPUT: list[Entry] = [
    Row("backbone.norm_f", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]


class Mixer(NamedTuple):
    """The parameters of a Mamba mixer, below whatever module it stands in."""

    a: Param
    d: Param
    conv: Param
    in_proj: Param
    x_proj: Param
    dt_proj: Param
    out_proj: Param


def mixer(module: str) -> Mixer:
    """The mixer of a module, named as in the engine. Its rows are written out where they are used, to be grepped."""
    return Mixer(
        a=plain(f"{module}.A", "inner, state", split="inner", dtype="F32"),
        d=plain(f"{module}.D", "inner", split="inner"),
        conv=linear(f"{module}.conv1d", "inner, 1, conv", split="inner", bias="mamba_conv_bias", quantised=False),
        in_proj=linear(
            f"{module}.in_proj", x="inner, hidden", z="inner, hidden", split="inner", bias="mamba_proj_bias"
        ),
        x_proj=linear(f"{module}.x_proj", dt="dt, inner", b="state, inner", c="state, inner", split="inner"),
        dt_proj=linear(f"{module}.dt_proj", "inner, dt", split="inner", bias=True),
        out_proj=linear(f"{module}.out_proj", "hidden, inner", split="inner", bias="mamba_proj_bias"),
    )


MAMBA_MIXER = mixer("backbone.layers.{layer}.mixer")
MAMBA_ROWS: list[Entry] = [
    Row("backbone.layers.{layer}.mixer.A_log", MAMBA_MIXER.a, op="neg_exp"),
    Row("backbone.layers.{layer}.mixer.D", MAMBA_MIXER.d),
    Row("backbone.layers.{layer}.mixer.conv1d", MAMBA_MIXER.conv),
    Row("backbone.layers.{layer}.mixer.in_proj", MAMBA_MIXER.in_proj, "part, hidden"),
    Row("backbone.layers.{layer}.mixer.x_proj", MAMBA_MIXER.x_proj, "part, inner"),
    Row("backbone.layers.{layer}.mixer.dt_proj", MAMBA_MIXER.dt_proj),
    Row("backbone.layers.{layer}.mixer.out_proj", MAMBA_MIXER.out_proj),
]

MAMBA = Architecture(
    "MambaForCausalLM",
    axes={
        "hidden": "hidden_size", "inner": "intermediate_size | expand * hidden_size", "state": "state_size",
        "conv": "conv_kernel", "dt": "time_step_rank | ceil hidden_size / 16", "vocab": "vocab_size",
    },
    entries=(*INPUT, *MAMBA_ROWS, *OUTPUT),
    flags={
        "tie_word_embeddings": True, "mamba_proj_bias": "@use_bias", "mamba_conv_bias": "@use_conv_bias",
        "use_bias": False, "use_conv_bias": True,
    },
)  # fmt: skip

MIXER = "backbone.layers.{layer}.mixer"
A = plain(f"{MIXER}.A", "mhead", split="mhead", dtype="F32")
D = plain(f"{MIXER}.D", "mhead", split="mhead")
DT_BIAS = plain(f"{MIXER}.dt_bias", "mhead", split="mhead")
CONV = linear(
    f"{MIXER}.conv1d", x="mhead.mdim, 1, conv", b="mgroup.state, 1, conv", c="mgroup.state, 1, conv",
    split="mhead", share_one="mgroup", bias="use_conv_bias", quantised=False,
)  # fmt: skip
IN_PROJ = linear(
    f"{MIXER}.in_proj", z="mhead.mdim, hidden", x="mhead.mdim, hidden", b="mgroup.state, hidden",
    c="mgroup.state, hidden", dt="mhead, hidden", split="mhead", share_one="mgroup", bias="use_bias",
)  # fmt: skip
MIXER_NORM = norm(f"{MIXER}.norm", "mhead.mdim", split="mhead")
OUT_PROJ = linear(f"{MIXER}.out_proj", "hidden, mhead.mdim", split="mhead", bias="use_bias")

MAMBA2_MIXER: list[Entry] = [
    Row("backbone.layers.{layer}.mixer.A_log", A, op="neg_exp"),
    Row("backbone.layers.{layer}.mixer.D", D),
    Row("backbone.layers.{layer}.mixer.dt_bias", DT_BIAS),
    Row("backbone.layers.{layer}.mixer.conv1d", CONV, "part, 1, conv"),
    Row("backbone.layers.{layer}.mixer.in_proj", IN_PROJ, "part, hidden"),
    Row("backbone.layers.{layer}.mixer.norm", MIXER_NORM),
    Row("backbone.layers.{layer}.mixer.out_proj", OUT_PROJ),
]

MAMBA2 = Architecture(
    "Mamba2ForCausalLM",
    axes={
        "hidden": "hidden_size", "mhead": "num_heads", "mdim": "head_dim", "mgroup": "n_groups",
        "state": "state_size", "conv": "conv_kernel", "vocab": "vocab_size",
    },
    entries=(*INPUT, *MAMBA2_MIXER, *OUTPUT),
    flags={"tie_word_embeddings": False, "use_bias": False, "use_conv_bias": True},
)  # fmt: skip
