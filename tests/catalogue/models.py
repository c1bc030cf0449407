"""Small models under the names that were published: decoders, encoders, experts, GGUF. Sizes are free.

Names: the model cards' safetensors headers. They are spelt here once more, and not taken from the rows.
"""

from __future__ import annotations

from typing import Any

from fixtures.gguf import Typed
from tests.catalogue.building import Gguf, Model

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven of a Llama layer."""


def decoder(
    layers: int = 4, hidden: int = 64, heads: int = 4, kv: int = 2, dim: int = 0, ffn: int = 192, vocab: int = 320,
    *, tied: bool = False, model_type: str = "llama", architecture: str = "LlamaForCausalLM", **more: Any,
) -> Model:  # fmt: skip
    """Llama and those that share its names."""
    width = dim or hidden // heads
    config = {
        "architectures": [architecture], "model_type": model_type, "hidden_size": hidden, "intermediate_size": ffn,
        "num_attention_heads": heads, "num_key_value_heads": kv, "num_hidden_layers": layers, "vocab_size": vocab,
        "tie_word_embeddings": tied, "torch_dtype": "bfloat16", **more,
    }  # fmt: skip
    if dim:
        config["head_dim"] = dim
    model = Model(config)
    model.put("model.embed_tokens.weight", vocab, hidden)
    for layer in range(layers):
        attention(model, f"model.layers.{layer}", hidden, heads, kv, width)
        mlp(model, f"model.layers.{layer}.mlp", hidden, ffn)
        norms(model, f"model.layers.{layer}", hidden)
    model.put("model.norm.weight", hidden)
    if not tied:
        model.put("lm_head.weight", vocab, hidden)
    return model


def attention(model: Model, layer: str, hidden: int, heads: int, kv: int, width: int) -> None:
    model.put(f"{layer}.self_attn.q_proj.weight", heads * width, hidden)
    model.put(f"{layer}.self_attn.k_proj.weight", kv * width, hidden)
    model.put(f"{layer}.self_attn.v_proj.weight", kv * width, hidden)
    model.put(f"{layer}.self_attn.o_proj.weight", hidden, heads * width)


def mlp(model: Model, prefix: str, hidden: int, ffn: int) -> None:
    model.put(f"{prefix}.gate_proj.weight", ffn, hidden)
    model.put(f"{prefix}.up_proj.weight", ffn, hidden)
    model.put(f"{prefix}.down_proj.weight", hidden, ffn)


def norms(model: Model, layer: str, hidden: int) -> None:
    model.put(f"{layer}.input_layernorm.weight", hidden)
    model.put(f"{layer}.post_attention_layernorm.weight", hidden)


def qk_norms(model: Model, *shape_q: int, kv: tuple[int, ...] = ()) -> Model:
    """Norms of queries and keys in every layer."""
    for layer in range(model.config["num_hidden_layers"]):
        model.put(f"model.layers.{layer}.self_attn.q_norm.weight", *shape_q)
        model.put(f"model.layers.{layer}.self_attn.k_norm.weight", *(kv or shape_q))
    return model


def qwen2(**sizes: Any) -> Model:
    """Llama with biases of q, k and v."""
    model = decoder(**{"model_type": "qwen2", "architecture": "Qwen2ForCausalLM", **sizes})
    for name, tensor in list(model.tensors.items()):
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            model.put(name.replace("weight", "bias"), tensor.shape[0])
    return model


def qwen3(dim: int = 32, **sizes: Any) -> Model:
    """Llama with a head_dim of its own, and norms of q and k."""
    model = decoder(dim=dim, **{"model_type": "qwen3", "architecture": "Qwen3ForCausalLM", **sizes})
    return qk_norms(model, dim)


def cohere(
    layers: int = 4, heads: int = 8, kv: int = 2, dim: int = 8, hidden: int = 64, *, larger: bool = True
) -> Model:
    """Command R; the larger one, Command R+, has norms of q and k, a row a head."""
    model = decoder(
        layers, hidden, heads, kv, dim, tied=True, model_type="cohere", architecture="CohereForCausalLM",
        use_qk_norm=larger, logit_scale=0.8,
    )  # fmt: skip
    model.drop(lambda name: "post_attention_layernorm" in name)
    return qk_norms(model, heads, dim, kv=(kv, dim)) if larger else model


def bert(layers: int = 3, hidden: int = 48, vocab: int = 400, *, old: bool = False) -> Model:
    """BERT with its pooler; `old` gives LayerNorm's parameters their names of 2018."""
    config = {
        "architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": hidden, "num_attention_heads": 4,
        "intermediate_size": 4 * hidden, "num_hidden_layers": layers, "vocab_size": vocab, "type_vocab_size": 2,
        "max_position_embeddings": 64, "torch_dtype": "float32",
    }  # fmt: skip
    model = Model(config)

    def linear(name: str, out: int, inner: int) -> None:
        model.put(f"{name}.weight", out, inner, dtype="F32")
        model.put(f"{name}.bias", out, dtype="F32")

    def norm(name: str) -> None:
        model.put(f"{name}.weight", hidden, dtype="F32")
        model.put(f"{name}.bias", hidden, dtype="F32")

    for table, rows in (("word", vocab), ("position", 64), ("token_type", 2)):
        model.put(f"bert.embeddings.{table}_embeddings.weight", rows, hidden, dtype="F32")
    norm("bert.embeddings.LayerNorm")
    for layer in range(layers):
        here = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{here}.attention.self.{part}", hidden, hidden)
        linear(f"{here}.attention.output.dense", hidden, hidden)
        norm(f"{here}.attention.output.LayerNorm")
        linear(f"{here}.intermediate.dense", 4 * hidden, hidden)
        linear(f"{here}.output.dense", hidden, 4 * hidden)
        norm(f"{here}.output.LayerNorm")
    linear("bert.pooler.dense", hidden, hidden)
    linear("cls.predictions.transform.dense", hidden, hidden)
    norm("cls.predictions.transform.LayerNorm")
    model.put("cls.predictions.bias", vocab, dtype="F32")
    if old:
        model.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    return model


def falcon(layers: int = 4, heads: int = 4, dim: int = 16, vocab: int = 320) -> Model:
    """Falcon-7B's shape: one KV head, one norm, no biases."""
    hidden = heads * dim
    config = {
        "architectures": ["FalconForCausalLM"], "model_type": "falcon", "hidden_size": hidden, "vocab_size": vocab,
        "num_attention_heads": heads, "num_hidden_layers": layers, "bias": False, "multi_query": True,
        "new_decoder_architecture": False, "parallel_attn": True, "alibi": False, "tie_word_embeddings": False,
        "torch_dtype": "float16",
    }  # fmt: skip
    model = Model(config)
    model.put("transformer.word_embeddings.weight", vocab, hidden, dtype="F16")
    for layer in range(layers):
        here = f"transformer.h.{layer}"
        for leaf in ("weight", "bias"):
            model.put(f"{here}.input_layernorm.{leaf}", hidden, dtype="F16")
        model.put(f"{here}.self_attention.query_key_value.weight", (heads + 2) * dim, hidden, dtype="F16")
        model.put(f"{here}.self_attention.dense.weight", hidden, hidden, dtype="F16")
        model.put(f"{here}.mlp.dense_h_to_4h.weight", 4 * hidden, hidden, dtype="F16")
        model.put(f"{here}.mlp.dense_4h_to_h.weight", hidden, 4 * hidden, dtype="F16")
    for leaf in ("weight", "bias"):
        model.put(f"transformer.ln_f.{leaf}", hidden, dtype="F16")
    model.put("lm_head.weight", vocab, hidden, dtype="F16")
    return model


def bigcode(layers: int = 4, heads: int = 6, dim: int = 32, vocab: int = 384) -> Model:
    """GPTBigCode (SantaCoder, StarCoder, octocoder): fused attention with one KV head."""
    hidden = heads * dim
    config = {
        "architectures": ["GPTBigCodeForCausalLM"], "model_type": "gpt_bigcode", "n_embd": hidden, "n_head": heads,
        "n_layer": layers, "n_inner": 4 * hidden, "n_positions": 128, "vocab_size": vocab, "multi_query": True,
        "torch_dtype": "float16",
    }  # fmt: skip
    model = Model(config)
    model.put("transformer.wte.weight", vocab, hidden, dtype="F16")
    model.put("transformer.wpe.weight", 128, hidden, dtype="F16")
    for layer in range(layers):
        here = f"transformer.h.{layer}"
        for name in ("ln_1", "ln_2"):
            model.put(f"{here}.{name}.weight", hidden, dtype="F16")
            model.put(f"{here}.{name}.bias", hidden, dtype="F16")
        for name, out, inner in (
            ("attn.c_attn", hidden + 2 * dim, hidden), ("attn.c_proj", hidden, hidden),
            ("mlp.c_fc", 4 * hidden, hidden), ("mlp.c_proj", hidden, 4 * hidden),
        ):  # fmt: skip
            model.put(f"{here}.{name}.weight", out, inner, dtype="F16")
            model.put(f"{here}.{name}.bias", out, dtype="F16")
    for leaf in ("weight", "bias"):
        model.put(f"transformer.ln_f.{leaf}", hidden, dtype="F16")
    model.put("lm_head.weight", vocab, hidden, dtype="F16")
    return model


def mamba2(
    layers: int = 4, hidden: int = 64, heads: int = 8, dim: int = 16, state: int = 16, vocab: int = 320
) -> Model:
    """Mamba-2 under Transformers' names, which begin with `backbone`."""
    inner = heads * dim
    config = {
        "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "hidden_size": hidden, "num_heads": heads,
        "head_dim": dim, "state_size": state, "n_groups": 1, "conv_kernel": 4, "expand": inner // hidden,
        "num_hidden_layers": layers, "vocab_size": vocab, "use_bias": False, "use_conv_bias": True,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    model = Model(config)
    model.put("backbone.embeddings.weight", vocab, hidden)
    for layer in range(layers):
        here = f"backbone.layers.{layer}"
        model.put(f"{here}.norm.weight", hidden)
        model.put(f"{here}.mixer.in_proj.weight", 2 * inner + 2 * state + heads, hidden)
        model.put(f"{here}.mixer.conv1d.weight", inner + 2 * state, 1, 4)
        model.put(f"{here}.mixer.conv1d.bias", inner + 2 * state)
        for leaf in ("A_log", "D", "dt_bias"):
            model.put(f"{here}.mixer.{leaf}", heads)
        model.put(f"{here}.mixer.norm.weight", inner)
        model.put(f"{here}.mixer.out_proj.weight", hidden, inner)
    model.put("backbone.norm_f.weight", hidden)
    model.put("lm_head.weight", vocab, hidden)
    return model


# --- experts ---


def moe(
    layers: int = 4, experts: int = 8, hidden: int = 64, moe_ffn: int = 32, *, first_dense: int = 0, shared: str = "",
    router: str = "gate", stacked: bool = False, heads: int = 4, kv: int = 2, dim: int = 16, vocab: int = 320,
    norms_of_heads: bool = False, **config: Any,
) -> Model:  # fmt: skip
    """A decoder whose layers from `first_dense` on are experts, one by one or stacked; `shared` names their module."""
    model = decoder(layers, hidden, heads, kv, dim, 4 * moe_ffn, vocab, **config)
    if norms_of_heads:
        qk_norms(model, dim)
    for layer in range(first_dense, layers):
        here = f"model.layers.{layer}.mlp"
        model.drop(lambda name, here=here: name.startswith(here))  # type: ignore[misc]
        model.put(f"{here}.{router}.weight", experts, hidden)
        experts_of(model, here, experts, hidden, moe_ffn, stacked)
        if shared:
            mlp(model, f"{here}.{shared}", hidden, moe_ffn)
    return model


def experts_of(model: Model, here: str, experts: int, hidden: int, ffn: int, stacked: bool) -> None:
    """The experts of one layer."""
    if stacked:
        model.put(f"{here}.experts.gate_up_proj", experts, 2 * ffn, hidden)
        model.put(f"{here}.experts.down_proj", experts, hidden, ffn)
        return
    for expert in range(experts):
        mlp(model, f"{here}.experts.{expert}", hidden, ffn)


def qwen3_moe(layers: int = 4, experts: int = 8, moe_ffn: int = 32, *, stacked: bool = False, **sizes: Any) -> Model:
    """Qwen3-30B-A3B's structure."""
    return moe(
        layers, experts, moe_ffn=moe_ffn, stacked=stacked, norms_of_heads=True,
        **{"model_type": "qwen3_moe", "architecture": "Qwen3MoeForCausalLM", "num_experts": experts,
           "num_experts_per_tok": 2, "moe_intermediate_size": moe_ffn, "norm_topk_prob": True, "decoder_sparse_step": 1,
           "mlp_only_layers": [], **sizes},
    )  # fmt: skip


def ernie(layers: int = 6, experts: int = 8, first: int = 3, shared: int = 0, moe_ffn: int = 32) -> Model:
    """ERNIE 4.5: dense first layers, then experts with a router's bias; the 300B has no shared ones."""
    model = moe(
        layers, experts, moe_ffn=moe_ffn, first_dense=first, shared="shared_experts" if shared else "",
        model_type="ernie4_5_moe", architecture="Ernie4_5_MoeForCausalLM", moe_num_experts=experts, moe_k=2,
        moe_intermediate_size=moe_ffn, moe_layer_start_index=first, moe_num_shared_experts=shared, use_bias=False,
    )  # fmt: skip
    for layer in range(first, layers):
        model.put(f"model.layers.{layer}.mlp.moe_statics.e_score_correction_bias", 1, experts, dtype="F32")
    return model


def gpt_oss(layers: int = 4, experts: int = 8, hidden: int = 64, ffn: int = 64, heads: int = 8, dim: int = 16) -> Model:
    """gpt-oss unpacked: stacked experts with biases, sinks, biases of attention."""
    kv = 2
    config = {
        "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": hidden,
        "intermediate_size": ffn, "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": dim,
        "num_hidden_layers": layers, "num_local_experts": experts, "num_experts_per_tok": 2, "vocab_size": 320,
        "attention_bias": True, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    model = Model(config)
    model.put("model.embed_tokens.weight", 320, hidden)
    for layer in range(layers):
        here = f"model.layers.{layer}"
        attention(model, here, hidden, heads, kv, dim)
        for name, rows in (("q_proj", heads * dim), ("k_proj", kv * dim), ("v_proj", kv * dim), ("o_proj", hidden)):
            model.put(f"{here}.self_attn.{name}.bias", rows)
        model.put(f"{here}.self_attn.sinks", heads)
        model.put(f"{here}.mlp.router.weight", experts, hidden)
        model.put(f"{here}.mlp.router.bias", experts)
        model.put(f"{here}.mlp.experts.gate_up_proj", experts, hidden, 2 * ffn)
        model.put(f"{here}.mlp.experts.gate_up_proj_bias", experts, 2 * ffn)
        model.put(f"{here}.mlp.experts.down_proj", experts, ffn, hidden)
        model.put(f"{here}.mlp.experts.down_proj_bias", experts, hidden)
        norms(model, here, hidden)
    model.put("model.norm.weight", hidden)
    model.put("lm_head.weight", 320, hidden)
    return model


# --- GGUF ---


def gguf(
    name: str = "llama", layers: int = 4, hidden: int = 64, heads: int = 4, kv: int = 2, ffn: int = 192,
    vocab: int = 320, experts: int = 0, dim: int = 0, *, norms_of_heads: bool = False, head: bool = True,
) -> Gguf:  # fmt: skip
    """A decoder under llama.cpp's names."""
    width = dim or hidden // heads
    counts = {
        "embedding_length": hidden, "block_count": layers, "feed_forward_length": ffn, "context_length": 2048,
        "attention.head_count": heads, "attention.head_count_kv": kv, "attention.key_length": width,
    }  # fmt: skip
    if experts:
        counts |= {"expert_count": experts, "expert_used_count": 2, "expert_feed_forward_length": ffn}
    values = {"general.architecture": Typed("str", name)}
    values |= {f"{name}.{key}": Typed("u32", value) for key, value in counts.items()}
    values["tokenizer.ggml.tokens"] = Typed("[str]", [f"<{n}>" for n in range(vocab)])
    model = Gguf(values)
    model.put("token_embd.weight", vocab, hidden)
    for layer in range(layers):
        here = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            model.put(f"{here}.{norm}.weight", hidden, dtype="F32")
        for part, out, inner in (
            ("attn_q", heads * width, hidden), ("attn_k", kv * width, hidden), ("attn_v", kv * width, hidden),
            ("attn_output", hidden, heads * width),
        ):  # fmt: skip
            model.put(f"{here}.{part}.weight", out, inner)
        if norms_of_heads:
            for norm in ("attn_q_norm", "attn_k_norm"):
                model.put(f"{here}.{norm}.weight", width, dtype="F32")
        _gguf_mlp(model, here, hidden, ffn, experts)
    model.put("output_norm.weight", hidden, dtype="F32")
    if head:
        model.put("output.weight", vocab, hidden)
    return model


def _gguf_mlp(model: Gguf, here: str, hidden: int, ffn: int, experts: int) -> None:
    if experts:
        model.put(f"{here}.ffn_gate_inp.weight", experts, hidden, dtype="F32")
    outer, end = ((experts,), "_exps") if experts else ((), "")
    model.put(f"{here}.ffn_gate{end}.weight", *outer, ffn, hidden)
    model.put(f"{here}.ffn_up{end}.weight", *outer, ffn, hidden)
    model.put(f"{here}.ffn_down{end}.weight", *outer, hidden, ffn)
