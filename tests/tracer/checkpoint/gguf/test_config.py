"""A GGUF file's keys and tensors, in the terms of a config.json; and which rows are chosen by it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest

from fixtures.gguf import Stored, Typed, document
from mappings.findings import Finding
from mappings.registry import choose
from mappings.sizes import ConfigError
from tracer.checkpoint.gguf import read

KEYS = {
    "llama.embedding_length": Typed("u32", 64), "llama.block_count": Typed("u32", 2),
    "llama.feed_forward_length": Typed("u32", 96), "llama.attention.head_count": Typed("u32", 4),
    "llama.attention.head_count_kv": Typed("u32", 2), "llama.context_length": Typed("u32", 4096),
    "llama.attention.layer_norm_rms_epsilon": Typed("f32", 1e-5), "llama.rope.freq_base": Typed("f32", 5e5),
    "llama.rope.dimension_count": Typed("u32", 16), "llama.vocab_size": Typed("u32", 30),
}  # fmt: skip
EMBEDDING = Stored("token_embd.weight", "F32", (32, 64), bytes(8192))
OUTPUT = Stored("output.weight", "F32", (32, 64), bytes(8192))


def described(*tensors: Stored, architecture: str = "llama", **changes: Typed | None) -> Any:
    """The config of a file with these tensors; keys are spelled with `__` for dots, without the architecture."""
    values = {"general.architecture": Typed("str", architecture)} | dict(KEYS)
    for key, typed in changes.items():
        name = key.replace("__", ".")
        values.pop(name, None)
        if typed is not None:
            values[name] = typed
    own = {key.replace("llama.", f"{architecture}.", 1): typed for key, typed in values.items()}
    raw = document(own, tensors)
    return read(io.BytesIO(raw), len(raw), "model.gguf", "model.gguf").config


def refusal(config: Mapping[str, Any]) -> Finding:
    with pytest.raises(ConfigError) as caught:
        choose(config, ["token_embd.weight"], 1, "F16")
    return caught.value.finding


def test_the_fields_are_those_of_a_config_json() -> None:
    assert described(EMBEDDING, OUTPUT) == {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "rope_theta": 5e5, "max_position_embeddings": 4096, "vocab_size": 32, "tie_word_embeddings": False,
        "torch_dtype": "float32", "attention_bias": False, "mlp_bias": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "named"),
    [("llama", "LlamaForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM")],
)
def test_an_architecture_with_rows_goes_by_its_class(architecture: str, named: str) -> None:
    config = described(EMBEDDING, architecture=architecture)
    assert config["architectures"] == [named]
    assert choose(config, ["token_embd.weight"], 1, "F16").binding.arch.id == f"{named}/gguf"


def test_llama_with_experts_is_mixtral() -> None:
    config = described(llama__expert_count=Typed("u32", 8), llama__expert_used_count=Typed("u32", 2))
    assert config["architectures"] == ["MixtralForCausalLM"]
    assert (config["num_local_experts"], config["num_experts_per_tok"]) == (8, 2)
    assert described(llama__expert_count=Typed("u32", 0))["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize(
    ("architecture", "nearest"),
    [("deepseek2", "DeepseekV2ForCausalLM"), ("qwen3moe", "Qwen3ForCausalLM"), ("phi3", "Phi3ForCausalLM")],
)
def test_an_architecture_without_rows_is_named_with_the_nearest(architecture: str, nearest: str) -> None:
    finding = refusal(described(architecture=architecture))
    assert (finding.code, finding.subject) == ("arch.unknown", architecture)
    assert nearest in finding.message


@pytest.mark.parametrize("architecture", ["gemma3", "chatglm", "bitnet-25", "deci", "", "\n", "x" * 300])
def test_whatever_it_is_called_is_said_to_be_unknown(architecture: str) -> None:
    assert refusal(described(architecture=architecture)).code == "arch.unknown"


def test_a_file_without_an_architecture_describes_no_model() -> None:
    assert described(general__architecture=None) is None
    assert described(general__architecture=Typed("u32", 3)) is None


def test_the_vocabulary_is_counted_where_it_is_most_surely_known() -> None:
    tokens = Typed("[str]", ["a"] * 31)
    assert described(EMBEDDING, tokenizer__ggml__tokens=tokens)["vocab_size"] == 32
    assert described(tokenizer__ggml__tokens=tokens)["vocab_size"] == 30
    assert described(llama__vocab_size=None, tokenizer__ggml__tokens=tokens)["vocab_size"] == 31
    assert "vocab_size" not in described(llama__vocab_size=None)


def test_the_output_is_tied_where_only_the_embedding_is_stored() -> None:
    assert described(EMBEDDING)["tie_word_embeddings"] is True
    assert "tie_word_embeddings" not in described(OUTPUT)


def test_all_heads_have_keys_where_their_number_is_not_stated() -> None:
    config = described(EMBEDDING, llama__attention__head_count_kv=None)
    assert choose(config, ["token_embd.weight"], 1, "F16").binding.axes.size("kv") == 4


def test_a_key_that_is_absent_is_asked_for() -> None:
    finding = refusal(described(llama__attention__head_count=None))
    assert (finding.code, finding.subject) == ("config.missing-field", "num_attention_heads")


@pytest.mark.parametrize("items", [[8, 8, 0, 4], []])
def test_one_entry_a_layer_is_refused_by_name(items: list[int]) -> None:
    """Nemotron, OpenELM: layers differ, and no row describes such a model."""
    finding = refusal(described(llama__attention__head_count=Typed("[i32]", items)))
    assert (finding.code, finding.subject) == ("config.invalid", "num_attention_heads")


def test_one_entry_a_layer_that_is_the_same_in_all_is_that_entry() -> None:
    assert described(llama__feed_forward_length=Typed("[i32]", [96, 96]))["intermediate_size"] == 96


@pytest.mark.parametrize(
    ("dtype", "size", "expected"),
    [("F16", 4096, "float16"), ("BF16", 4096, "bfloat16"), ("F32", 8192, "float32"), ("Q4_K", 1152, "float16")],
)
def test_the_data_type_is_that_of_most_bytes(dtype: str, size: int, expected: str) -> None:
    """Norms are F32 in every file, and say nothing; neither do blocks."""
    shape = (8, 256) if dtype == "Q4_K" else (32, 64)
    weights = Stored("token_embd.weight", dtype, shape, bytes(size))
    assert described(weights, Stored("output_norm.weight", "F32", (64,), bytes(256)))["torch_dtype"] == expected


def test_biases_are_what_the_tensors_say() -> None:
    def bias(name: str) -> Stored:
        return Stored(f"blk.0.{name}.bias", "F32", (64,), bytes(256))

    assert described(bias("attn_q"))["attention_bias"] is True
    assert described(bias("attn_q"))["out_bias"] is False
    assert "out_bias" not in described(bias("attn_q"), bias("attn_output"))
    assert described(bias("ffn_down"))["mlp_bias"] is True


def test_stretched_positions_are_told_in_rope_scaling() -> None:
    config = described(
        llama__rope__scaling__type=Typed("str", "yarn"), llama__rope__scaling__factor=Typed("f32", 4.0),
        llama__rope__scaling__original_context_length=Typed("u32", 1024),
    )  # fmt: skip
    assert config["rope_scaling"] == {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024
    }  # fmt: skip
    assert "rope_scaling" not in described(llama__rope__scaling__type=Typed("str", "none"))
    old = described(llama__rope__scale_linear=Typed("f32", 2.0))
    assert old["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}


def test_divisors_that_only_a_tensor_knows_are_not_guessed() -> None:
    """Llama 3.1: the keys say nothing, so an engine that ignored the tensor would talk garbage at length."""
    config = described(EMBEDDING, Stored("rope_freqs.weight", "F32", (8,), bytes(32)))
    assert config["rope_scaling"] == {"rope_type": "stored in rope_freqs.weight"}


def test_heads_that_are_turned_in_part() -> None:
    config = described(llama__attention__key_length=Typed("u32", 32))
    assert (config["head_dim"], config["partial_rotary_factor"]) == (32, 0.5)
    assert "partial_rotary_factor" not in described(llama__attention__key_length=Typed("u32", 16))


def test_a_number_that_is_none_is_left_out() -> None:
    assert "rope_theta" not in described(llama__rope__freq_base=Typed("f32", float("nan")))
