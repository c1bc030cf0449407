"""A LoRA adapter is examined as what it is, and only its defects are errors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from fixtures.hostile import HOSTILE
from tests.tracer.doctor.told import Tensors, Told, write_json, write_safetensors

CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 4, "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": None,
}  # fmt: skip
PATH = "base_model.model.model.layers.0.self_attn"
SOUND: dict[str, tuple[str, tuple[int, ...]]] = {
    f"{PATH}.q_proj.lora_A.weight": ("F32", (4, 16)), f"{PATH}.q_proj.lora_B.weight": ("F32", (16, 4)),
    f"{PATH}.v_proj.lora_A.weight": ("F32", (4, 16)), f"{PATH}.v_proj.lora_B.weight": ("F32", (8, 4)),
}  # fmt: skip


def adapter(folder: Path, tensors: Tensors = SOUND, **config: Any) -> Told:
    write_json(folder / "adapter_config.json", CONFIG | config)
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return Told(folder)


def test_a_sound_adapter_is_no_model_and_no_error(tmp_path: Path) -> None:
    told = adapter(tmp_path)
    assert told.codes() == {"adapter.not-a-model"}
    assert (told.status, told["adapter.not-a-model"].severity) == (0, "info")
    assert told["adapter.not-a-model"].evidence["base"] == "org/base"
    assert told.check("adapter").told == "rank 4 on q_proj, v_proj, 2 pairs in 4 tensors"


@pytest.mark.parametrize("lost", sorted(SOUND))
def test_half_a_pair_is_an_error(lost: str, tmp_path: Path) -> None:
    told = adapter(tmp_path, {name: shape for name, shape in SOUND.items() if name != lost})
    assert told.codes("error") == {"param.unfilled"}
    assert lost.split(".lora_")[1][0] in told["param.unfilled"].message.split("lora_")[1]


def test_factors_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    told = adapter(tmp_path, SOUND | {f"{PATH}.q_proj.lora_B.weight": ("F32", (16, 5))})
    assert "A is [4, 16] and B [16, 5]" in told["shape.mismatch"].message


def test_another_rank_than_the_config_says_is_an_error(tmp_path: Path) -> None:
    told = adapter(tmp_path, r=8)
    assert told.codes("error") == {"config.conflict"}
    assert told["config.conflict"].message.endswith("r is 8, but the factors have rank 4 in 2 modules")
    assert adapter(tmp_path, r=8, rank_pattern={"q_proj": 4}).status == 0


def test_factors_of_no_target_are_an_error_and_targets_without_factors_a_warning(tmp_path: Path) -> None:
    assert adapter(tmp_path, target_modules=["q_proj"])["config.conflict"].severity == "error"
    assert adapter(tmp_path, target_modules=["q_proj", "v_proj", "o_proj"])["config.conflict"].severity == "warning"


def test_an_expression_of_targets_is_looked_at_and_not_run(tmp_path: Path) -> None:
    told = adapter(tmp_path, target_modules=r".*(q_proj|v_proj)$")
    assert (told.status, told.check("adapter").unchecked[:14]) == (0, "target_modules")
    assert adapter(tmp_path, target_modules="(q_proj").codes("error") == {"config.invalid"}


def test_what_is_no_pair_of_factors_is_not_held_to_targets(tmp_path: Path) -> None:
    assert adapter(tmp_path, {f"{PATH}.q_proj.ia3_l": ("F32", (16, 1))}, peft_type="IA3").codes("warning") == set()
    grown = {name: (dtype, (6 if shape[0] == 4 else shape[0], 6 if shape[1] == 4 else shape[1]))
             for name, (dtype, shape) in SOUND.items()}  # fmt: skip
    assert adapter(tmp_path, grown, peft_type="ADALORA", init_r=6).codes("error") == set()


def test_parameters_of_stacked_experts_have_the_rank_of_all(tmp_path: Path) -> None:
    """As PEFT writes `target_parameters`: one pair for all experts, the second parameter's in a wrapper of its own."""
    experts: dict[str, tuple[str, tuple[int, ...]]] = {
        f"base_model.model.model.layers.0.mlp.experts.{inside}lora_{side}.weight": ("F32", shape)
        for inside in ("", "base_layer.") for side, shape in (("A", (32, 16)), ("B", (16, 32)))
    }  # fmt: skip
    assert adapter(tmp_path, SOUND | experts).status == 1
    named = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    assert adapter(tmp_path, SOUND | experts, target_parameters=named).status == 0
    assert adapter(tmp_path, SOUND | experts, target_parameters=named, r=8).codes("error") == {"config.conflict"}


def test_many_targets_against_many_modules_take_no_longer_than_both(tmp_path: Path) -> None:
    tensors = {f"base_model.model.m{n}.lora_{side}.weight": ("F32", (1, 1)) for n in range(4_000) for side in "AB"}
    begin = time.monotonic()
    assert adapter(tmp_path, tensors, r=1, target_modules=[f"t{n}" for n in range(40_000)]).status == 1
    assert time.monotonic() - begin < 5


def test_modules_to_save_must_be_saved(tmp_path: Path) -> None:
    assert adapter(tmp_path, modules_to_save=["classifier", "score"]).codes("error") == {"param.unfilled"}
    head = {"base_model.model.score.weight": ("F32", (2, 16))}
    assert adapter(tmp_path, SOUND | head, modules_to_save=["classifier", "score"]).status == 0


def test_no_factor_at_all_binds_nothing(tmp_path: Path) -> None:
    assert adapter(tmp_path, {"lm_head.weight": ("F32", (2, 2))}).codes("error") == {"adapter.no-overlap"}


def test_a_damaged_adapter_is_its_damage(tmp_path: Path) -> None:
    adapter(tmp_path)
    HOSTILE["cut_in_the_data"].write(tmp_path / "adapter_model.safetensors")
    assert Told(tmp_path).codes("error") == {"file.truncated"}


def test_an_adapter_without_its_file_is_not_checked(tmp_path: Path) -> None:
    adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    told = Told(tmp_path)
    assert told.status == 0
    assert "none of adapter_model.safetensors" in told.check("adapter").unchecked
