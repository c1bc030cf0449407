"""Mamba and Mamba-2: one input projection made of sections that are cut one by one; A is stored as log(-A).

Sources: Mamba (arXiv 2312.00752), Mamba-2 (arXiv 2405.21060), the converted `-hf` model cards.
"""

from __future__ import annotations

from mappings.params import embedding, linear, norm, plain
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


def mixer(engine: str, disk: str) -> list[Entry]:
    """The Mamba mixer below a module: the same rows wherever it stands."""
    a = plain(f"{engine}.A", "inner, state", split="inner", dtype="F32")
    in_proj = linear(
        f"{engine}.in_proj", x="inner, hidden", z="inner, hidden", split="inner", bias="mamba_proj_bias"
    )
    conv = linear(f"{engine}.conv1d", "inner, 1, conv", split="inner", bias="mamba_conv_bias", quantised=False)
    x_proj = linear(f"{engine}.x_proj", dt="dt, inner", b="state, inner", c="state, inner", split="inner")
    return [
        Row(f"{disk}.A_log", a, op="neg_exp"),
        Row(f"{disk}.D", plain(f"{engine}.D", "inner", split="inner")),
        Row(f"{disk}.conv1d", conv),
        Row(f"{disk}.in_proj", in_proj, "part, hidden"),
        Row(f"{disk}.x_proj", x_proj, "part, inner"),
        Row(f"{disk}.dt_proj", linear(f"{engine}.dt_proj", "inner, dt", split="inner", bias=True)),
        Row(f"{disk}.out_proj", linear(f"{engine}.out_proj", "hidden, inner", split="inner", bias="mamba_proj_bias")),
    ]


MAMBA = Architecture(
    "MambaForCausalLM",
    axes={
        "hidden": "hidden_size", "inner": "intermediate_size | expand * hidden_size", "state": "state_size",
        "conv": "conv_kernel", "dt": "time_step_rank | ceil hidden_size / 16", "vocab": "vocab_size",
    },
    entries=(*INPUT, *mixer("backbone.layers.{layer}.mixer", "backbone.layers.{layer}.mixer"), *OUTPUT),
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
