"""Packed weights and what lies beside them: nothing alone, and as config.json says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tracer.doctor.told import Tensors, Told, write_json, write_safetensors

MLX: dict[str, Any] = {"quantization": {"bits": 4, "group_size": 64}}
GPTQ: dict[str, Any] = {
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
}  # fmt: skip
AT = "model.layers.0.mlp.down_proj"


def mlx(bits: int, group: int, inputs: int = 256) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        f"{AT}.weight": ("U32", (8, inputs * bits // 32)), f"{AT}.scales": ("F16", (8, inputs // group)),
        f"{AT}.biases": ("F16", (8, inputs // group)),
    }  # fmt: skip


def gptq(bits: int, group: int, inputs: int = 256) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        f"{AT}.qweight": ("I32", (inputs * bits // 32, 64)),
        f"{AT}.qzeros": ("I32", (inputs // group, 64 * bits // 32)),
        f"{AT}.scales": ("F16", (inputs // group, 64)), f"{AT}.g_idx": ("I32", (inputs,)),
    }  # fmt: skip


def model(folder: Path, tensors: Tensors, config: dict[str, Any]) -> Told:
    """Of an architecture without rows."""
    write_json(folder / "config.json", {"architectures": ["StrangeForCausalLM"], "num_hidden_layers": 1} | config)
    write_safetensors(folder / "model.safetensors", tensors)
    return Told(folder)


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (3, 64), (8, 32), (2, 128)])
def test_what_fits_its_declaration_is_ok(bits: int, group: int, tmp_path: Path) -> None:
    told = model(tmp_path, mlx(bits, group), {"quantization": {"bits": bits, "group_size": group}})
    assert told.codes("error", "warning") == set()
    packed = GPTQ["quantization_config"] | {"bits": bits, "group_size": group}
    told = model(tmp_path, gptq(bits, group), {"quantization_config": packed})
    assert told.codes("error", "warning") == set()


@pytest.mark.parametrize(("tensors", "config", "says"), [
    (mlx(8, 64), MLX, "declares 4 bits in groups of 64, but 1 packed weights have 8 bits in groups of 64"),
    (mlx(4, 32), MLX, "2 bits in groups of 64 or 4 bits in groups of 32 or 8 bits in groups of 16"),
    (gptq(8, 128), GPTQ, "declares 4 bits in groups of 128, but 1 packed weights have 8 bits"),
    (gptq(4, 32), GPTQ, "have 4 bits in groups of 32"),
])  # fmt: skip
def test_other_bits_or_groups_than_declared_are_an_error(
    tensors: Tensors, config: dict[str, Any], says: str, tmp_path: Path
) -> None:
    assert says in model(tmp_path, tensors, config)["config.conflict"].message


OTHER_SCHEMES: dict[str, Tensors] = {
    "aqlm": {f"{AT}.codes": ("I16", (4, 4, 1)), f"{AT}.codebooks": ("F16", (1, 4)), f"{AT}.scales": ("F16", (4, 1))},
    "vptq": {f"{AT}.indices": ("I32", (4, 4)), f"{AT}.weight_scale": ("F16", (4,))},
    "compressed-tensors": {f"{AT}.compressed": ("F8_E4M3", (4, 4)), f"{AT}.weight_scale": ("F16", (4, 1))},
}  # fmt: skip


@pytest.mark.parametrize("method", OTHER_SCHEMES)
def test_scales_belong_to_whatever_a_scheme_calls_its_weights(method: str, tmp_path: Path) -> None:
    declared = {"quantization_config": {"quant_method": method}}
    assert model(tmp_path, OTHER_SCHEMES[method], declared).codes("error") == set()
    lone = dict(list(OTHER_SCHEMES[method].items())[-1:])
    assert model(tmp_path, lone, declared).codes("error") == {"quant.orphan"}


def test_the_last_group_may_be_short(tmp_path: Path) -> None:
    """11,008 inputs in groups of 1,024, as some published models have them."""
    packed = GPTQ["quantization_config"] | {"group_size": 1024}
    tensors = gptq(4, 1024, 11 * 1024) | {f"{AT}.qweight": ("I32", (1376, 64)), f"{AT}.g_idx": ("I32", (11_008,))}
    assert model(tmp_path, tensors, {"quantization_config": packed}).codes("error") == set()
    assert model(tmp_path, tensors, GPTQ).codes("error") == {"config.conflict"}


def test_the_declaration_may_be_in_the_part_of_the_decoder(tmp_path: Path) -> None:
    assert model(tmp_path, gptq(4, 128), {"llm_config": GPTQ}).codes("error") == set()
    assert model(tmp_path, gptq(4, 64), {"llm_config": GPTQ}).codes("error") == {"config.conflict"}
    assert model(tmp_path, mlx(4, 64), {"text_config": MLX}).codes("error") == set()


def test_the_declaration_may_be_in_the_file_that_autoawq_wrote_first(tmp_path: Path) -> None:
    awq: Tensors = {
        f"{AT}.qweight": ("I32", (256, 8)), f"{AT}.qzeros": ("I32", (2, 8)), f"{AT}.scales": ("F16", (2, 64)),
    }  # fmt: skip
    write_json(tmp_path / "quant_config.json", {"zero_point": True, "q_group_size": 128, "w_bit": 4})
    assert model(tmp_path, awq, {}).codes("error") == set()
    write_json(tmp_path / "quant_config.json", {"zero_point": True, "q_group_size": 64, "w_bit": 4})
    assert model(tmp_path, awq, {}).codes("error") == {"config.conflict"}


def test_marlin_keeps_its_weights_under_other_names(tmp_path: Path) -> None:
    marlin: Tensors = {f"{AT}.B": ("I32", (4, 8)), f"{AT}.s": ("F16", (1, 8))}
    for spelled in ({"is_marlin_format": True}, {"checkpoint_format": "marlin"}):
        declared = {"quantization_config": GPTQ["quantization_config"] | spelled}
        assert model(tmp_path, marlin, declared).codes("error") == set()


@pytest.mark.parametrize("field", ["dynamic", "extra_config"])
def test_a_scheme_that_has_other_bits_for_some_is_not_held_to_one(field: str, tmp_path: Path) -> None:
    packed = GPTQ["quantization_config"] | {field: {AT: {"bits": 8}}}
    assert model(tmp_path, gptq(8, 128), {"quantization_config": packed}).codes("error") == set()


def test_layers_with_a_declaration_of_their_own_are_passed_over(tmp_path: Path) -> None:
    own = {"quantization": MLX["quantization"] | {AT: {"bits": 8, "group_size": 64}}}
    assert model(tmp_path, mlx(8, 64), own).codes("error") == set()


@pytest.mark.parametrize(("tensors", "lost", "code"), [
    (mlx(4, 64), "scales", "quant.missing"), (mlx(4, 64), "weight", "quant.orphan"),
    (gptq(4, 128), "scales", "quant.missing"), (gptq(4, 128), "qweight", "quant.orphan"),
])  # fmt: skip
def test_nothing_stands_alone(tensors: dict[str, Any], lost: str, code: str, tmp_path: Path) -> None:
    config = GPTQ if f"{AT}.g_idx" in tensors else MLX
    rest = {name: shape for name, shape in tensors.items() if name != f"{AT}.{lost}"}
    assert code in model(tmp_path, rest, config).codes("error")


def test_bits_and_bytes_states_belong_to_their_weight(tmp_path: Path) -> None:
    state = {f"{AT}.weight": ("U8", (64, 1)), f"{AT}.weight.absmax": ("F32", (2,))}
    declared = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    assert model(tmp_path, state, declared).codes("error") == set()
    assert model(tmp_path, {f"{AT}.weight.absmax": ("F32", (2,))}, declared).codes("error") == {"quant.orphan"}


def test_packed_weights_that_nobody_declares_are_an_error(tmp_path: Path) -> None:
    assert model(tmp_path, gptq(4, 128), {}).codes("error") == {"config.missing-field"}
    assert model(tmp_path, mlx(4, 64), {}).codes("error") == {"config.missing-field"}


def test_a_declaration_without_packed_weights_is_an_error(tmp_path: Path) -> None:
    assert model(tmp_path, {f"{AT}.weight": ("F16", (8, 8))}, GPTQ).codes("error") == {"quant.missing"}


def test_what_is_damaged_is_not_called_complete(tmp_path: Path) -> None:
    model(tmp_path, gptq(4, 128), GPTQ)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"")
    told = Told(tmp_path)
    assert "not all of the model" in told.check("quantisation").unchecked
    assert told.check("quantisation").told == ""


def test_two_declarations_must_agree(tmp_path: Path) -> None:
    write_json(tmp_path / "quantize_config.json", {"bits": 4, "group_size": 32, "desc_act": False})
    told = model(tmp_path, gptq(4, 128), GPTQ)
    assert told["config.conflict"].severity == "warning"
    assert "group_size is 128, quantize_config.json has 32" in told["config.conflict"].message
