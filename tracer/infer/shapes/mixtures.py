"""Signatures of decoders with routed experts, each by itself or stacked.

Shapes: the model cards' config.json and the classes of Transformers that they name.
"""

from __future__ import annotations

from typing import Any

from tracer.infer.shapes.decoders import ENDS, FUSED_QKV, GROUPED, HEAD_NORMS, NORMS, QKV_BIAS, QKVO
from tracer.infer.shapes.signature import Family

ROUTER = "router @moe: expert, hidden\n"
EXPERTS = "expert gate, expert up @moe expert: moe_ffn, hidden\nexpert down @moe expert: hidden, moe_ffn\n"
STACKED = "experts' gate and up @moe: expert, 2 moe_ffn, hidden\nexperts' down @moe: expert, hidden, moe_ffn\n"
APART = "experts' gate, experts' up @moe: expert, moe_ffn, hidden\nexperts' down @moe: expert, hidden, moe_ffn\n"
SHARED = "shared gate, shared up @moe: shared, hidden\nshared down @moe: hidden, shared\n"
SHARED_GATE = "shared expert's gate @moe: 1, hidden\n"
DENSE = "gate, up @dense: ffn, hidden\ndown @dense: hidden, ffn\n"
KINDS = (("layer", "dense", "moe"),)
GROUPS = (*GROUPED, ("q", "dim"), ("kv", "dim"))

_FORMS = (("", EXPERTS), (", stacked", STACKED), (", stacked one by one", APART))


def _each(name: str, architectures: tuple[str, ...], rest: str, tell: str, **more: Any) -> list[Family]:
    """The same model with each expert by itself, and in the two ways of stacking them."""
    return [
        Family(
            name, architectures, NORMS + QKVO + ROUTER + experts + rest + DENSE + ENDS, tell + form, sums=KINDS, **more
        )
        for form, experts in _FORMS
    ]  # fmt: skip


MIXTRAL = _each(
    "mixtral", ("MixtralForCausalLM", "GraniteMoeForCausalLM", "PhimoeForCausalLM"), "",
    "as Llama, with a router and experts", multiples=GROUPED,
    fields={"moe_ffn": "intermediate_size", "expert": "num_local_experts"},
)  # fmt: skip
QWEN2_MOE = _each(
    "qwen2-moe", ("Qwen2MoeForCausalLM",), QKV_BIAS + SHARED + SHARED_GATE,
    "as Qwen2, with experts and one shared expert that has a gate of its own", multiples=GROUPED,
    fields={"shared": "shared_expert_intermediate_size"},
)  # fmt: skip
QWEN3_MOE = _each(
    "qwen3-moe", ("Qwen3MoeForCausalLM",), HEAD_NORMS, "as Qwen3, with a router and experts", multiples=GROUPS,
    greater=(("q", "dim"),),
)  # fmt: skip
OLMOE = _each(
    "olmoe", ("OlmoeForCausalLM",), "q norm @layer: q\nk norm @layer: kv\n",
    "norms over all of q and all of k, a router and experts", multiples=GROUPED,
    fields={"moe_ffn": "intermediate_size"},
)  # fmt: skip
LLAMA4 = [
    Family(
        "llama4", ("Llama4ForConditionalGeneration", "Llama4ForCausalLM"),
        NORMS + QKVO + ROUTER + STACKED + "shared gate, shared up @moe: moe_ffn, hidden\n"
        "shared down @moe: hidden, moe_ffn\n" + DENSE + ENDS,
        "stacked experts and one shared expert as wide as they", multiples=GROUPED, sums=KINDS,
        fields={"ffn": "intermediate_size_mlp", "moe_ffn": "intermediate_size", "expert": "num_local_experts"},
    ),
]  # fmt: skip
GPT_OSS = Family(
    "gpt-oss", ("GptOssForCausalLM",),
    NORMS.replace("post norm", "post norm, o bias") + QKVO + QKV_BIAS + ROUTER.replace("@moe", "@layer")
    + "router bias @layer: expert\nsinks @layer: heads\nexperts' gate and up @layer: expert, hidden, 2 moe_ffn\n"
    "experts' gate and up bias @layer: expert, 2 moe_ffn\nexperts' down @layer: expert, moe_ffn, hidden\n"
    "experts' down bias @layer: expert, hidden\n" + ENDS,
    "stacked experts with biases, attention with biases and sinks", multiples=(*GROUPED, ("q", "heads")),
    fields={"moe_ffn": "intermediate_size", "heads": "num_attention_heads", "expert": "num_local_experts"},
)  # fmt: skip
DBRX = Family(
    "dbrx", ("DbrxForCausalLM",),
    NORMS + FUSED_QKV + ROUTER.replace("@moe", "@layer")
    + "experts' w1, experts' v1, experts' w2 @layer: stack, hidden\n" + ENDS,
    "q, k and v fused, the experts one below the other in matrices", multiples=(*GROUPED, ("stack", "expert")),
    fields={
        "stack": "ffn_hidden_size * moe_num_experts", "expert": "moe_num_experts", "hidden": "d_model",
        "layer": "n_layers", "kv": "kv_n_heads * d_model / n_heads",
    },
)  # fmt: skip

LATENT_Q = "q_a norm @layer: q_rank\nq_a @layer: q_rank, hidden\nq_b @layer: q, q_rank\n"
DIRECT_Q = "q @layer: q, hidden\n"
LATENT = (
    "kv_a norm @layer: kv_rank\nkv_b @layer: kv_b, kv_rank\nkv_a @layer: kv_a, hidden\n"
    "o @layer: hidden, v\n"
)  # fmt: skip
DEEPSEEK_MOE = ROUTER + EXPERTS + SHARED + "router correction @moe ?correction: expert\n" + DENSE
DEEPSEEK_FIELDS = {
    "q": "num_attention_heads * @qk", "qk": "qk_nope_head_dim + qk_rope_head_dim",
    "kvb": "qk_nope_head_dim + v_head_dim", "kv_b": "num_attention_heads * @kvb",
    "kv_a": "kv_lora_rank + qk_rope_head_dim", "kv_rank": "kv_lora_rank", "q_rank": "q_lora_rank",
    "v": "num_attention_heads * v_head_dim", "shared": "moe_intermediate_size * n_shared_experts",
    "expert": "n_routed_experts", "dense": "first_k_dense_replace",
}  # fmt: skip


def _deepseek(name: str, architectures: tuple[str, ...], q: str, tell: str) -> Family:
    return Family(
        name, architectures, NORMS + q + LATENT + DEEPSEEK_MOE + ENDS, tell,
        greater=(("kv_a", "kv_rank"), ("v", "kv_a"), ("kv_b", "v"), ("q", "v")), sums=KINDS,
        fields=DEEPSEEK_FIELDS,
    )  # fmt: skip


DEEPSEEK = [
    _deepseek(
        "deepseek", ("DeepseekV3ForCausalLM", "DeepseekV2ForCausalLM"), LATENT_Q,
        "latent q and latent k and v, dense layers first, then shared and routed experts",
    ),
    _deepseek(
        "deepseek", ("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"), DIRECT_Q,
        "latent k and v, dense layers first, then shared and routed experts",
    ),
]  # fmt: skip

FAMILIES = (*MIXTRAL, *QWEN2_MOE, *QWEN3_MOE, *OLMOE, *LLAMA4, GPT_OSS, DBRX, *DEEPSEEK)
