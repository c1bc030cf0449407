"""Files and configs that no writer should have made: each is diagnosed, whatever a hypothesis expects to find."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

import pytest

from fixtures.pickles import zip_of
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.test_declared_scales import HIDDEN, Leaves, quantised
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer import complaints
from tracer.complaints import gathering

SHAPES = "RuntimeError: The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension 0"


@pytest.mark.parametrize("leaf", ["weight", "bias", "weight_scale", "qweight", "scales"])
def test_a_name_whose_file_is_not_here_is_the_missing_file(leaf: str, tmp_path: Path) -> None:
    name = f"model.layers.1.self_attn.q_proj.{leaf}"
    here = {"model.layers.0.self_attn.q_proj.weight": ("BF16", (8, 8))}
    write_safetensors(tmp_path / "model-00001-of-00002.safetensors", here)
    homes = dict.fromkeys(here, "model-00001-of-00002.safetensors") | {name: "model-00002-of-00002.safetensors"}
    write_json(tmp_path / "model.safetensors.index.json", {"metadata": {}, "weight_map": homes})
    write_json(tmp_path / "config.json", {"architectures": ["StrangeForCausalLM"], "model_type": "strange"})
    found = diagnosed(tmp_path, f"KeyError: '{name}'")
    assert codes(found)[0][0] == "index.missing-file"


def per_tensor(out: int, into: int) -> Leaves:
    return {"weight": ("F8_E4M3", (out, into)), "weight_scale_inv": ("F32", (1,))}


@pytest.mark.parametrize("said", ["", "AttributeError: 'Linear' object has no attribute 'weight_scale'"])
def test_one_scale_a_tensor_is_no_grid_of_blocks_whatever_its_name(said: str, tmp_path: Path) -> None:
    found = diagnosed(quantised(tmp_path / "m", per_tensor, {"quant_method": "fp8"}), said)
    assert not any("a grid of" in cause.finding.message for cause in found.causes)


def one_word(out: int, into: int) -> Leaves:
    return {"qweight": ("I32", (out,)), "scales": ("F16", (1, out)), "g_idx": ("I32", (into,))}


def test_packed_words_in_one_dimension_are_no_matrix(tmp_path: Path) -> None:
    said = "KeyError: 'model.layers.0.self_attn.q_proj.qweight'"
    assert diagnosed(quantised(tmp_path / "m", one_word, {}), said).original is not None


@pytest.mark.parametrize("heads", [0, -4])
def test_a_model_without_heads_has_no_head_dim_that_anybody_divides(heads: int, tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config, num_attention_heads=heads, head_dim=8)
    assert diagnosed(folder, SHAPES.format(64, 128)).failed


def test_a_norm_of_keys_without_a_module_is_read_like_any_other(tmp_path: Path) -> None:
    config: dict[str, Any] = {"architectures": ["StrangeForCausalLM"], "model_type": "strange", "hidden_size": HIDDEN,
                              "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
    write_safetensors(tmp_path / "model.safetensors", {"k_norm": ("BF16", (HIDDEN // 2,))})
    write_json(tmp_path / "config.json", config)
    assert diagnosed(tmp_path, "the output is garbage, only !!!!!!!!", tp=4).original is not None


@pytest.mark.parametrize("name", ["model.layers.999999999.mlp.up_proj.weight", "model.layers.².mlp.up_proj.weight",
                                  "model.layers.{}.mlp.up_proj.weight", "", "."])  # fmt: skip
def test_a_name_may_have_any_number_in_it_or_what_looks_like_one(name: str, tmp_path: Path) -> None:
    folder = write(
        tmp_path, CONFIGS["llama"].config, lambda each: name if each.endswith("1.mlp.up_proj.weight") else each
    )
    found = diagnosed(folder, f"KeyError: '{name}'")
    assert found.failed
    assert any(name in repr(cause.finding) for cause in found.causes)


def test_causes_beyond_counting_are_held_against_what_was_said_in_no_time(tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(6000)]
    write_safetensors(tmp_path / "model.safetensors", dict.fromkeys(names, ("BF16", (2, 2))))
    write_json(tmp_path / "config.json", CONFIGS["llama"].config)
    began = process_time()
    found = diagnosed(tmp_path, "Unexpected key(s) in state_dict: " + ", ".join(f'"{name}"' for name in names[1::2]))
    assert process_time() - began < 6
    assert len(found.causes) > len(names)
    assert codes(found)[0] == ("tensor.unmapped", "t1")


def test_a_second_copy_that_would_run_code_is_an_error_beside_a_sound_one(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config)
    (folder / "pytorch_model.bin").write_bytes(zip_of(b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R"))
    assert ("pickle.unsafe-global", "pytorch_model.bin") in codes(found := diagnosed(folder))
    assert found.failed


def test_what_was_said_beyond_what_is_read_or_kept_is_told_as_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complaints, "_PASTED_LIMIT", 40_000)
    monkeypatch.setattr(gathering, "COMPLAINTS_LIMIT", 100)
    said = "\n".join(f"ValueError: {number} is not divisible by 7" for number in range(1000, 3000))
    folder = write(tmp_path, CONFIGS["llama"].config)
    (check,) = [check for check in diagnosed(folder, said).checks if check.name == "complaint"]
    assert f"{len(said) - 40_000:,} characters after the first 40,000" in check.unchecked
    assert "complaints after the first 100 different ones" in check.unchecked
    monkeypatch.undo()
    assert "complaint" not in [check.name for check in diagnosed(folder, said.partition("\n")[0]).checks]
