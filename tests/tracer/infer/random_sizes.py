"""Configs of every architecture with rows, of sizes that no published model has."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Config = dict[str, Any]


def config(arch: str, random: Random) -> Config:
    """A legal config for an architecture, by its id."""
    return {"architectures": [arch.partition("/")[0]], **_MADE[arch](random)}


def _decoder(random: Random, **fields: Any) -> Config:
    dim, kv = random.choice([64, 80, 96, 128, 256]), random.choice([1, 2, 3, 4, 5, 8, 16, 24])
    heads = kv * random.choice([1, 2, 4, 7, 8])
    return {
        "hidden_size": random.choice([heads * dim, 64 * random.randint(8, 128)]), "num_attention_heads": heads,
        "num_key_value_heads": kv, "head_dim": dim, "intermediate_size": 64 * random.randint(8, 400),
        "vocab_size": random.randint(8_000, 300_000), "num_hidden_layers": random.randint(6, 100),
        "tie_word_embeddings": random.random() < 0.4, **fields,
    }  # fmt: skip


def _mixture(random: Random) -> Config:
    return _decoder(random, num_local_experts=random.choice([4, 8, 16, 32]))


def _deepseek(random: Random) -> Config:
    heads = random.choice([16, 32, 64, 96, 128])
    return {
        "hidden_size": 128 * random.randint(8, 64), "num_attention_heads": heads, "num_key_value_heads": heads,
        "q_lora_rank": random.choice([None, 768, 1024, 1536, 2048]), "kv_lora_rank": random.choice([256, 512, 640]),
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "intermediate_size": 64 * random.randint(60, 300), "moe_intermediate_size": 64 * random.randint(8, 40),
        "n_shared_experts": random.choice([1, 2]), "n_routed_experts": random.choice([16, 64, 96]),
        "first_k_dense_replace": random.randint(0, 3), "moe_layer_freq": 1,
        "num_hidden_layers": random.randint(6, 40), "vocab_size": random.randint(30_000, 200_000),
    }  # fmt: skip


def _gpt2(random: Random) -> Config:
    heads = random.randint(4, 40)
    return {
        "n_embd": 64 * heads, "n_head": heads, "n_layer": random.randint(4, 60),
        "n_positions": random.choice([512, 1024, 2048]), "vocab_size": random.randint(20_000, 100_000),
    }  # fmt: skip


def _bloom(random: Random) -> Config:
    heads = random.randint(8, 100)
    return {
        "hidden_size": 64 * heads, "n_head": heads, "n_layer": random.randint(4, 80),
        "vocab_size": random.randint(20_000, 300_000),
    }  # fmt: skip


def _falcon(random: Random) -> Config:
    kv = random.choice([2, 4, 8])
    heads = kv * random.choice([2, 8, 16])
    return {
        "num_kv_heads": kv, "num_attention_heads": heads, "hidden_size": 64 * heads,
        "num_hidden_layers": random.randint(4, 80), "vocab_size": random.randint(20_000, 100_000),
        "new_decoder_architecture": True, "num_ln_in_parallel_attn": random.choice([1, 2]),
    }  # fmt: skip


def _state_space(random: Random, **fields: Any) -> Config:
    return {
        "hidden_size": 64 * random.randint(8, 60), "conv_kernel": 4, "vocab_size": random.randint(20_000, 100_000),
        "num_hidden_layers": random.randint(6, 80), **fields,
    }  # fmt: skip


def _mamba(random: Random) -> Config:
    made = _state_space(random, state_size=random.choice([8, 16, 32]))
    return made | {"intermediate_size": 2 * made["hidden_size"], "time_step_rank": -(-made["hidden_size"] // 16)}


def _mamba2(random: Random) -> Config:
    made = _state_space(random, head_dim=64, n_groups=random.choice([1, 8]), state_size=random.choice([64, 128]))
    return made | {"num_heads": 2 * made["hidden_size"] // 64}


def _jamba(random: Random) -> Config:
    return _decoder(
        random, num_experts=random.choice([4, 8, 16]), mamba_expand=2, mamba_d_state=16, mamba_d_conv=4,
        mamba_dt_rank=random.choice([128, 256]), num_hidden_layers=8 * random.randint(1, 9),
    )  # fmt: skip


_MADE: dict[str, Callable[[Random], Config]] = {
    "LlamaForCausalLM": _decoder, "MistralForCausalLM": _decoder, "Qwen2ForCausalLM": _decoder,
    "Qwen3ForCausalLM": _decoder, "Phi3ForCausalLM": _decoder, "MixtralForCausalLM": _mixture,
    "MixtralForCausalLM/stacked": _mixture, "GptOssForCausalLM": _mixture, "DeepseekV2ForCausalLM": _deepseek,
    "DeepseekV3ForCausalLM": _deepseek, "GPT2LMHeadModel": _gpt2, "BloomForCausalLM": _bloom,
    "FalconForCausalLM": _falcon, "MambaForCausalLM": _mamba, "Mamba2ForCausalLM": _mamba2,
    "JambaForCausalLM": _jamba,
}  # fmt: skip
ARCHITECTURES = tuple(_MADE)
