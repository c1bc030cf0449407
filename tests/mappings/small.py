"""Every architecture at a size at which elements can be counted one by one, and the ranks that can cut it.

The sizes differ wherever they may: `hidden` is no multiple of `head.dim`, heads come in groups, there are fewer KV
heads than ranks, and the vocabulary is no multiple of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mappings.architectures import BUILT_IN
from mappings.bind import Binder, Binding
from mappings.rows import Architecture

TP_SIZES = (1, 2, 4, 8, 16)


class Small(NamedTuple):
    """An architecture, a config.json for it, and the numbers of ranks that are legal."""

    arch: str
    config: Mapping[str, Any]
    tp: tuple[int, ...] = TP_SIZES


def _decoder(arch: str, **fields: Any) -> Small:
    config = {
        "architectures": [arch.partition("/")[0]], "hidden_size": 10, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 3, "intermediate_size": 48, "vocab_size": 67, "num_hidden_layers": 2,
    }  # fmt: skip
    return Small(arch, config | fields)


def _deepseek(arch: str, **fields: Any) -> Small:
    config = {
        "architectures": [arch], "hidden_size": 11, "num_attention_heads": 16, "num_key_value_heads": 16,
        "q_lora_rank": 32, "kv_lora_rank": 16, "qk_nope_head_dim": 6, "qk_rope_head_dim": 2, "v_head_dim": 6,
        "intermediate_size": 64, "moe_intermediate_size": 32, "n_shared_experts": 2, "n_routed_experts": 3,
        "first_k_dense_replace": 1, "moe_layer_freq": 1, "num_hidden_layers": 3, "num_nextn_predict_layers": 1,
        "vocab_size": 67,
    }  # fmt: skip
    return Small(arch, config | fields)


def _fp8(*block: int) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "fp8", "weight_block_size": list(block)}}


CONFIGS: dict[str, Small] = {
    "llama": _decoder("LlamaForCausalLM"),
    "llama tied": _decoder("LlamaForCausalLM", tie_word_embeddings=True),
    "llama with biases": _decoder("LlamaForCausalLM", attention_bias=True, mlp_bias=True),
    "llama without groups": _decoder("LlamaForCausalLM", num_key_value_heads=16),
    "llama with one kv head": _decoder("LlamaForCausalLM", num_key_value_heads=1),
    "llama with one word": _decoder("LlamaForCausalLM", vocab_size=1),
    "llama with six heads": _decoder("LlamaForCausalLM", num_attention_heads=6)._replace(tp=(1, 2)),
    "mistral": _decoder("MistralForCausalLM"),
    "qwen2": _decoder("Qwen2ForCausalLM", tie_word_embeddings=True),
    "qwen3": _decoder("Qwen3ForCausalLM"),
    "phi3": _decoder("Phi3ForCausalLM"),
    "mixtral": _decoder("MixtralForCausalLM", num_local_experts=3),
    "mixtral stacked": _decoder("MixtralForCausalLM/stacked", num_local_experts=3),
    "mixtral with one expert": _decoder("MixtralForCausalLM", num_local_experts=1),
    "llama in gguf": _decoder("LlamaForCausalLM/gguf", head_dim=6),
    "llama in gguf with biases": _decoder("LlamaForCausalLM/gguf", head_dim=6, attention_bias=True, mlp_bias=True),
    "mistral in gguf": _decoder("MistralForCausalLM/gguf", head_dim=2, tie_word_embeddings=True),
    "qwen2 in gguf": _decoder("Qwen2ForCausalLM/gguf", head_dim=6),
    "qwen3 in gguf": _decoder("Qwen3ForCausalLM/gguf", head_dim=6),
    "mixtral in gguf": _decoder("MixtralForCausalLM/gguf", head_dim=6, num_local_experts=3),
    "mixtral in gguf by expert": _decoder("MixtralForCausalLM/gguf-per-expert", head_dim=6, num_local_experts=3),
    "gpt2": Small(
        "GPT2LMHeadModel",
        {
            "architectures": ["GPT2LMHeadModel"], "n_embd": 48, "n_head": 16, "n_layer": 2, "n_positions": 7,
            "n_inner": 80, "vocab_size": 67,
        },
    ),
    "bloom": Small(
        "BloomForCausalLM",
        {"architectures": ["BloomForCausalLM"], "hidden_size": 48, "n_head": 16, "n_layer": 2, "vocab_size": 67},
    ),
    "bloom with long heads": Small(
        "BloomForCausalLM",
        {"architectures": ["BloomForCausalLM"], "hidden_size": 10, "n_head": 2, "n_layer": 2, "vocab_size": 67},
        (1, 2),
    ),
    "falcon": Small(
        "FalconForCausalLM",
        {
            "architectures": ["FalconForCausalLM"], "hidden_size": 48, "num_attention_heads": 16, "num_kv_heads": 2,
            "ffn_hidden_size": 80, "num_hidden_layers": 2, "vocab_size": 67, "new_decoder_architecture": True,
            "bias": True,
        },
    ),
    "falcon with one norm": Small(
        "FalconForCausalLM",
        {
            "architectures": ["FalconForCausalLM"], "hidden_size": 48, "num_attention_heads": 16, "num_kv_heads": 4,
            "num_hidden_layers": 2, "vocab_size": 67, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1,
            "tie_word_embeddings": False,
        },
    ),
    "deepseek v2": _deepseek("DeepseekV2ForCausalLM"),
    "deepseek v2 lite": _deepseek("DeepseekV2ForCausalLM", q_lora_rank=None),
    "deepseek v3": _deepseek("DeepseekV3ForCausalLM"),
    "deepseek v3 in fp8": _deepseek("DeepseekV3ForCausalLM", moe_intermediate_size=128, **_fp8(4, 2)),
    "gpt-oss": _decoder("GptOssForCausalLM", num_local_experts=3),
    "mamba": Small(
        "MambaForCausalLM",
        {
            "architectures": ["MambaForCausalLM"], "hidden_size": 10, "intermediate_size": 32, "state_size": 3,
            "conv_kernel": 4, "time_step_rank": 5, "vocab_size": 67, "num_hidden_layers": 2,
        },
    ),
    "mamba2": Small(
        "Mamba2ForCausalLM",
        {
            "architectures": ["Mamba2ForCausalLM"], "hidden_size": 10, "num_heads": 16, "head_dim": 3, "n_groups": 1,
            "state_size": 5, "conv_kernel": 4, "vocab_size": 67, "num_hidden_layers": 2,
        },
    ),
    "mamba2 in groups": Small(
        "Mamba2ForCausalLM",
        {
            "architectures": ["Mamba2ForCausalLM"], "hidden_size": 10, "num_heads": 16, "head_dim": 3, "n_groups": 4,
            "state_size": 5, "conv_kernel": 4, "vocab_size": 67, "num_hidden_layers": 2, "use_bias": True,
        },
        (1, 2, 4),
    ),
    "jamba": _decoder(
        "JambaForCausalLM", num_experts=3, mamba_expand=8, mamba_d_state=3, mamba_d_conv=4, mamba_dt_rank=5,
        num_hidden_layers=4, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=3, expert_layer_offset=2,
        mamba_proj_bias=True,
    ),
}  # fmt: skip

LEGAL = [(name, tp) for name, small in CONFIGS.items() for tp in small.tp]


def architecture(arch: str) -> Architecture:
    return next(found for found in BUILT_IN if found.id == arch)


def bind(name: str, tp: int = 1, **fields: Any) -> Binding:
    """One of the above, with some fields replaced."""
    small = CONFIGS[name]
    return Binder(architecture(small.arch), {**small.config, **fields}, tp).bind()
