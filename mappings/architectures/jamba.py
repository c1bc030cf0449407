"""Jamba: Mamba layers, every so often an attention layer; dense feed-forward layers, every so often experts."""

from __future__ import annotations

from mappings.architectures.llama import AXES, EMBED, FACTORS, HEAD
from mappings.architectures.mamba import mixer
from mappings.names import Domains
from mappings.params import experts, linear, norm
from mappings.rows import Architecture, Entry, Row, Tie
from mappings.sizes import Config

FINAL_NORM = norm("model.final_layernorm")
INPUT_NORM = norm("model.layers.{layer}.input_layernorm")
FF_NORM = norm("model.layers.{layer}.pre_ff_layernorm")
QKV = linear(
    "model.layers.{layer:attention}.qkv_proj", q="head.dim, hidden", k="kv.dim, hidden", v="kv.dim, hidden",
    split="head", share="kv",
)  # fmt: skip
OUT = linear("model.layers.{layer:attention}.o_proj", "hidden, head.dim", split="head")
MIXER = mixer("model.layers.{layer:mamba}.mamba")
DT_NORM = norm("model.layers.{layer:mamba}.mamba.dt_layernorm", "dt")
B_NORM = norm("model.layers.{layer:mamba}.mamba.b_layernorm", "state")
C_NORM = norm("model.layers.{layer:mamba}.mamba.c_layernorm", "state")
GATE_UP = linear(
    "model.layers.{layer:dense}.feed_forward.gate_up_proj", gate="ffn, hidden", up="ffn, hidden", split="ffn"
)
DOWN = linear("model.layers.{layer:dense}.feed_forward.down_proj", "hidden, ffn", split="ffn")
ROUTER = linear("model.layers.{layer:moe}.feed_forward.router", "expert, hidden", quantised=False)
W13 = experts(
    "model.layers.{layer:moe}.feed_forward.experts.routed_experts.w13",
    gate="expert, ffn, hidden", up="expert, ffn, hidden",
)  # fmt: skip
W2 = experts("model.layers.{layer:moe}.feed_forward.experts.routed_experts.w2", "expert, hidden, ffn")

ROWS: list[Entry] = [
    Row("model.embed_tokens", EMBED),
    Row("model.layers.{layer}.input_layernorm", INPUT_NORM),
    Row("model.layers.{layer}.pre_ff_layernorm", FF_NORM),
    Row("model.layers.{layer:mamba}.mamba.A_log", MIXER.a, op="neg_exp"),
    Row("model.layers.{layer:mamba}.mamba.D", MIXER.d),
    Row("model.layers.{layer:mamba}.mamba.conv1d", MIXER.conv),
    Row("model.layers.{layer:mamba}.mamba.in_proj", MIXER.in_proj, "part, hidden"),
    Row("model.layers.{layer:mamba}.mamba.x_proj", MIXER.x_proj, "part, inner"),
    Row("model.layers.{layer:mamba}.mamba.dt_proj", MIXER.dt_proj),
    Row("model.layers.{layer:mamba}.mamba.out_proj", MIXER.out_proj),
    Row("model.layers.{layer:mamba}.mamba.dt_layernorm", DT_NORM),
    Row("model.layers.{layer:mamba}.mamba.b_layernorm", B_NORM),
    Row("model.layers.{layer:mamba}.mamba.c_layernorm", C_NORM),
    Row("model.layers.{layer:attention}.self_attn.q_proj", QKV["q"]),
    Row("model.layers.{layer:attention}.self_attn.k_proj", QKV["k"]),
    Row("model.layers.{layer:attention}.self_attn.v_proj", QKV["v"]),
    Row("model.layers.{layer:attention}.self_attn.o_proj", OUT),
    Row("model.layers.{layer:dense}.feed_forward.gate_proj", GATE_UP["gate"]),
    Row("model.layers.{layer:dense}.feed_forward.up_proj", GATE_UP["up"]),
    Row("model.layers.{layer:dense}.feed_forward.down_proj", DOWN),
    Row("model.layers.{layer:moe}.feed_forward.router", ROUTER),
    Row("model.layers.{layer:moe}.feed_forward.experts.{expert}.gate_proj", W13["gate"]),
    Row("model.layers.{layer:moe}.feed_forward.experts.{expert}.up_proj", W13["up"]),
    Row("model.layers.{layer:moe}.feed_forward.experts.{expert}.down_proj", W2),
    Row("model.final_layernorm", FINAL_NORM),
    Row("lm_head", HEAD),
    Tie("lm_head", to=EMBED, param=HEAD),
]


def layers(config: Config) -> Domains:
    """Attention and expert layers recur with a period and an offset; where there is one expert, all are dense."""
    total = range(config.require("num_hidden_layers"))
    attention = _every(config, "attn_layer", total)
    moe = _every(config, "expert_layer", total) if config.require("num_experts") > 1 else []
    attending, routed = set(attention), set(moe)
    return {
        "layer:attention": attention, "layer:mamba": [i for i in total if i not in attending],
        "layer:moe": moe, "layer:dense": [i for i in total if i not in routed],
    }  # fmt: skip


def _every(config: Config, kind: str, total: range) -> list[int]:
    period, offset = config.require(f"{kind}_period"), config.count(f"{kind}_offset")
    return [i for i in total if i % period == offset]


JAMBA = Architecture(
    "JambaForCausalLM",
    axes=AXES | {
        "inner": "mamba_expand * hidden_size", "state": "mamba_d_state", "conv": "mamba_d_conv",
        "dt": "mamba_dt_rank | ceil hidden_size / 16", "expert": "num_experts",
    },
    entries=tuple(ROWS),
    factors=FACTORS,
    flags={
        "tie_word_embeddings": False, "mamba_proj_bias": False, "mamba_conv_bias": True,
        "attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2, "expert_layer_offset": 1,
        "num_experts": 16,
    },
    silent={"num_key_value_heads": 8},
    domains=layers,
)  # fmt: skip
