"""Packed weights under another quantiser's name, and FP8 blocks without their scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import HEADERS, codes, diagnosed, write
from tests.tracer.doctor.told import Tensors, write_json, write_safetensors
from tracer.complaints import read_error
from tracer.diagnose.diagnosis import Diagnosis, diagnose
from tracer.repair.changes import SetField

AT = "model.layers.0.mlp.down_proj"
BROADCAST = "RuntimeError: The size of tensor a (64) must match the size of tensor b (256) at non-singleton dimension 0"


def gptq(bits: int, inputs: int, outputs: int) -> Tensors:
    groups = inputs // 64
    return {
        f"{AT}.qweight": ("I32", (inputs * bits // 32, outputs)),
        f"{AT}.qzeros": ("I32", (groups, outputs * bits // 32)),
        f"{AT}.scales": ("F16", (groups, outputs)), f"{AT}.g_idx": ("I32", (inputs,)),
    }  # fmt: skip


def awq(bits: int, inputs: int, outputs: int) -> Tensors:
    found = {**gptq(bits, inputs, outputs), f"{AT}.qweight": ("I32", (inputs, outputs * bits // 32))}
    del found[f"{AT}.g_idx"]
    return found


def packed(folder: Path, tensors: Tensors, method: str, bits: int, said: str = "") -> Diagnosis:
    """Of an architecture without rows, or with them: nothing of it is planned."""
    scheme = {"quant_method": method, "bits": bits, "group_size": 64}
    write_json(folder / "config.json", {"architectures": ["StrangeForCausalLM"], "quantization_config": scheme})
    write_safetensors(folder / "model.safetensors", tensors)
    return diagnose(str(folder), read_error(said), reading=HEADERS)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("inputs", "outputs"), [(256, 512), (512, 256), (256, 256)])
def test_each_is_known_by_the_side_that_it_packs(inputs: int, outputs: int, bits: int, tmp_path: Path) -> None:
    for own, other, make in (("gptq", "awq", gptq), ("awq", "gptq", awq)):
        assert not packed(tmp_path, make(bits, inputs, outputs), own, bits).causes
        (cause,) = packed(tmp_path, make(bits, inputs, outputs), other, bits).causes
        assert (cause.finding.code, cause.finding.severity) == ("config.conflict", "error")
        assert f"as {own.upper()} does" in cause.finding.message
        assert cause.changes == (SetField("quantization_config.quant_method", own),)


def test_words_about_sizes_are_answered_by_it(tmp_path: Path) -> None:
    (cause,) = packed(tmp_path, gptq(4, 512, 256), "awq", 4, BROADCAST).causes
    assert cause.answers


def test_other_formats_of_either_are_passed_over(tmp_path: Path) -> None:
    """AWQ's GEMV packs along the inputs with rows for outputs, and its zeros lie the other way round."""
    held: Tensors = {
        f"{AT}.qweight": ("I32", (512, 32)), f"{AT}.qzeros": ("I32", (512, 1)), f"{AT}.scales": ("F16", (512, 8)),
    }  # fmt: skip
    assert not packed(tmp_path, held, "awq", 4).causes


BLOCKS = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [16, 16]}


def test_blocks_that_are_declared_have_scales_or_they_are_missing(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = {**CONFIGS["llama"].config, **sizes, "head_dim": 16, "quantization_config": BLOCKS}
    assert not diagnosed(write(tmp_path / "sound", config)).causes
    broken = diagnosed(write(tmp_path / "broken", config, lambda n: None if n.endswith("_scale_inv") else n))
    assert [code for code, _ in codes(broken)] == ["quant.missing"]
    assert {finding.code for finding in broken.causes[0].explains} == {"param.unfilled"}
    assert "each block of [16, 16]" in broken.causes[0].finding.message
    told = [check for check in broken.checks if check.name == "quantisation"]
    assert not any(check.told for check in told)
