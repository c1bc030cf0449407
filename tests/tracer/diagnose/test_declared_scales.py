"""What config.json says of a quantisation, or has lost of it, is told before what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tracer.diagnose.written import codes, diagnosed
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.repair.changes import SetField

HIDDEN, FFN, VOCAB = 96, 256, 128
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FFN,
    "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 2, "vocab_size": VOCAB,
    "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
SIZES = {
    **{f"self_attn.{part}_proj": (HIDDEN, HIDDEN) for part in "qkvo"}, "mlp.gate_proj": (FFN, HIDDEN),
    "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN),
}  # fmt: skip
Leaves = dict[str, tuple[str, tuple[int, ...]]]


def gptq(out: int, into: int) -> Leaves:
    return {"qweight": ("I32", (into // 8, out)), "qzeros": ("I32", (into // 32, out // 8)),
            "scales": ("F16", (into // 32, out)), "g_idx": ("I32", (into,))}  # fmt: skip


def awq(out: int, into: int) -> Leaves:
    return {"qweight": ("I32", (into, out // 8)), "qzeros": ("I32", (into // 32, out // 8)),
            "scales": ("F16", (into // 32, out))}  # fmt: skip


def packed(out: int, into: int) -> Leaves:
    return {"weight_packed": ("I32", (out, into // 8)), "weight_scale": ("BF16", (out, into // 32)),
            "weight_shape": ("I64", (2,))}  # fmt: skip


def in_blocks(out: int, into: int) -> Leaves:
    return {"weight": ("F8_E4M3", (out, into)), "weight_scale_inv": ("F32", (-(-out // 16), -(-into // 16)))}


def with_inputs(out: int, into: int) -> Leaves:
    return {"weight": ("F8_E4M3", (out, into)), "weight_scale": ("F32", (1,)), "input_scale": ("F32", (1,))}


def without_inputs(out: int, into: int) -> Leaves:
    return {"weight": ("F8_E4M3", (out, into)), "weight_scale": ("F32", (1,))}


def quantised(folder: Path, leaves: Any, scheme: dict[str, Any] | None = None) -> Path:
    """A Llama of two layers, packed in one way."""
    held: Leaves = dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), ("BF16", (VOCAB, HIDDEN)))
    held["model.norm.weight"] = ("BF16", (HIDDEN,))
    for layer in range(2):
        start = f"model.layers.{layer}"
        held |= {f"{start}.{norm}_layernorm.weight": ("BF16", (HIDDEN,)) for norm in ("input", "post_attention")}
        for module, size in SIZES.items():
            held |= {f"{start}.{module}.{leaf}": it for leaf, it in leaves(*size).items()}
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", held)
    write_json(folder / "config.json", CONFIG | ({"quantization_config": scheme} if scheme else {}))
    return folder


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("leaves", "word"), [(gptq, "GPTQ"), (awq, "AWQ"), (packed, "compressed-tensors")])
def test_a_lost_quantization_config_is_the_one_cause(leaves: Any, word: str, named: bool, tmp_path: Path) -> None:
    leaf = next(iter(leaves(96, 96)))
    said = f"KeyError: 'layers.0.mlp.down_proj.{leaf}'" if named else ""
    found = diagnosed(quantised(tmp_path / "m", leaves), said)
    assert codes(found) == [("config.missing-field", "quantization_config")]
    [cause] = found.causes
    assert f"quantised ({word}): 14 weights" in cause.finding.message
    assert "4 bits in groups of 32" in cause.finding.message
    assert {each.code for each in cause.explains} >= {"tensor.unmapped", "param.unfilled"}
    assert len(cause.answers) == named


FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}
BLOCKS = "ValueError: Weight input_size_per_partition = 96 is not divisible by weight quantization block_k = 128."


@pytest.mark.parametrize("said", ["", BLOCKS])
def test_blocks_that_are_not_those_of_the_scales_are_the_cause(said: str, tmp_path: Path) -> None:
    found = diagnosed(quantised(tmp_path / "m", in_blocks, FP8 | {"weight_block_size": [128, 128]}), said)
    cause = found.causes[0]
    assert (cause.finding.code, cause.finding.evidence["tensors"]) == ("config.conflict", [16, 16])
    assert cause.changes == (SetField("quantization_config.weight_block_size", [16, 16]),)
    assert "shape.mismatch" in {each.code for each in cause.explains}
    assert "shape.mismatch" not in dict(codes(found))
    assert not found.unanswered


def test_blocks_that_are_those_of_the_scales_are_sound(tmp_path: Path) -> None:
    assert codes(diagnosed(quantised(tmp_path / "m", in_blocks, FP8 | {"weight_block_size": [16, 16]}))) == []


INPUTS = "ValueError: Following weights were not initialized from checkpoint: " \
         "{'model.layers.0.self_attn.qkv_proj.input_scale'}"  # fmt: skip


@pytest.mark.parametrize("said", ["", INPUTS])
def test_scales_of_inputs_that_config_promises_and_nobody_wrote(said: str, tmp_path: Path) -> None:
    static = FP8 | {"activation_scheme": "static"}
    found = diagnosed(quantised(tmp_path / "m", without_inputs, static), said)
    assert codes(found)[0] == ("config.conflict", "quantization_config.activation_scheme")
    assert not found.unanswered
    assert codes(diagnosed(quantised(tmp_path / "n", with_inputs, static))) == []
    assert codes(diagnosed(quantised(tmp_path / "o", without_inputs, FP8))) == []
