"""Tensors of another class than config.json names, and tensors that a class has apart and the file in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.checkpoint.folder import open_checkpoint
from tracer.diagnose.hypotheses.architecture import MARKS
from tracer.repair.changes import Cut, SetField
from tracer.repair.repair import repair

LLAMA = CONFIGS["llama"].config
NORMS = ("pre_feedforward_layernorm", "post_feedforward_layernorm")


def with_norms(folder: Path, **said: Any) -> Path:
    """Gemma 2's four norms a layer, in a file that else is Llama's."""
    write(folder, LLAMA, **{**said, "tie_word_embeddings": True})
    held = {each.name: (each.dtype, each.shape) for each in open_checkpoint(folder).tensors}
    del held["lm_head.weight"]
    for layer in range(LLAMA["num_hidden_layers"]):
        held |= {f"model.layers.{layer}.{norm}.weight": ("BF16", (LLAMA["hidden_size"],)) for norm in NORMS}
    write_safetensors(folder / "model.safetensors", held)
    return folder


def test_a_flag_that_only_rows_know_is_no_field_to_set(tmp_path: Path) -> None:
    """Qwen2's config has no switch for its biases: without them the tensors are another class's."""
    folder = write(tmp_path, LLAMA, architectures=["Qwen2ForCausalLM"], model_type="qwen2")
    (cause,) = diagnosed(folder).causes
    assert (cause.finding.code, cause.finding.subject) == ("arch.mismatch", "Qwen2ForCausalLM")
    assert cause.changes == (SetField("architectures", ["LlamaForCausalLM"]), SetField("model_type", "llama"))
    assert {each.code for each in cause.explains} == {"param.unfilled"}


def test_model_type_is_evidence_where_the_class_says_something_else(tmp_path: Path) -> None:
    """Llama's and Mistral's tensors have the same names."""
    folder = write(tmp_path, LLAMA, architectures=["Qwen2ForCausalLM"], model_type="mistral")
    (cause,) = diagnosed(folder).causes
    assert cause.changes == (SetField("architectures", ["MistralForCausalLM"]),)
    assert "model_type says mistral too" in cause.finding.message


def test_a_class_without_rows_is_named_where_its_tensors_are_told_apart(tmp_path: Path) -> None:
    (cause,) = diagnosed(with_norms(tmp_path, model_type="llama")).causes
    assert (cause.finding.code, cause.finding.subject) == ("arch.mismatch", "LlamaForCausalLM")
    assert "those of Gemma2ForCausalLM" in cause.finding.message
    assert {each.code for each in cause.explains} == {"tensor.unmapped"}


def test_it_is_not_the_class_where_another_cause_explains_what_is_wrong(tmp_path: Path) -> None:
    folder = write(tmp_path, LLAMA, lambda name: f"language_model.{name}", architectures=["LlamaForCausalLM"])
    assert codes(diagnosed(folder))[0][0] == "name.rewrite"


def fused(folder: Path, modules: dict[str, tuple[str, ...]], **said: Any) -> Path:
    """Llama's tensors, some of them one after the other in one."""
    write(folder, LLAMA, **said)
    held = {each.name: (each.dtype, each.shape) for each in open_checkpoint(folder).tensors}
    made = dict(held)
    for name in held:
        module, _, leaf = name.rpartition(".")
        parent, _, own = module.rpartition(".")
        for whole, parts in modules.items():
            if own == parts[0]:
                shapes = [made.pop(f"{parent}.{part}.{leaf}")[1] for part in parts]
                made[f"{parent}.{whole}.{leaf}"] = ("BF16", (sum(shape[0] for shape in shapes), shapes[0][1]))
    write_safetensors(folder / "model.safetensors", made)
    return folder


@pytest.mark.parametrize("modules", [
    {"qkv_proj": ("q_proj", "k_proj", "v_proj")}, {"gate_up_proj": ("gate_proj", "up_proj")},
    {"W_pack": ("q_proj", "k_proj", "v_proj")},
    {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")},
])  # fmt: skip
def test_what_is_fused_on_disk_is_cut(modules: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    folder = fused(tmp_path / "model", modules)
    found = diagnosed(folder)
    (cause,) = found.causes
    assert cause.finding.code == "fused.already-fused"
    assert {each.code for each in cause.explains} == {"tensor.unmapped", "param.unfilled"}
    layers = LLAMA["num_hidden_layers"]
    assert len([change for change in cause.changes if isinstance(change, Cut)]) == layers * len(modules)
    assert found.original is not None
    repair(found.original.checkpoint, found.stages, tmp_path / "copy")
    assert codes(diagnosed(tmp_path / "copy")) == []


def test_a_fused_tensor_of_another_size_is_not_cut(tmp_path: Path) -> None:
    folder = fused(tmp_path, {"qkv_proj": ("q_proj", "k_proj")})
    assert "fused.already-fused" not in {code for code, _ in codes(diagnosed(folder))}


def test_where_model_type_says_what_it_is_nothing_is_cut(tmp_path: Path) -> None:
    """Phi-3 is fused on disk by itself."""
    config = CONFIGS["phi3"].config
    folder = write(tmp_path, config, architectures=["LlamaForCausalLM"])
    write_json(folder / "config.json", {**json.loads((folder / "config.json").read_text()), "model_type": "phi3"})
    (cause,) = diagnosed(folder).causes
    assert (cause.finding.code, cause.changes[0]) == (
        "arch.mismatch", SetField("architectures", ["Phi3ForCausalLM"]),
    )  # fmt: skip


def test_what_a_class_lacks_is_lost_where_all_of_config_json_means_that_class(tmp_path: Path) -> None:
    """Its type is Qwen3's too, and Llama's tensors are never just Qwen3's without their norms by chance."""
    config = {**CONFIGS["qwen3"].config, "model_type": "qwen3"}
    folder = write(tmp_path, config, lambda name: None if name.endswith(("q_norm.weight", "k_norm.weight")) else name)
    found = diagnosed(folder)
    (cause,) = found.causes
    assert (cause.finding.code, cause.changes, found.stages) == ("param.unfilled", (), [])
    assert "lost" in cause.finding.message and "LlamaForCausalLM" in cause.finding.message
    layers = config["num_hidden_layers"]
    assert cause.finding.evidence["missing"] == 2 * layers


@pytest.mark.parametrize(("fields", "code"), [
    ({"use_sliding_window": False, "max_window_layers": 2}, "param.unfilled"), ({"mlp_bias": False}, "arch.mismatch"),
])  # fmt: skip
def test_fields_that_only_one_class_has_say_whether_biases_are_lost(
    fields: dict[str, Any], code: str, tmp_path: Path
) -> None:  # fmt: skip
    folder = write(tmp_path, LLAMA, architectures=["Qwen2ForCausalLM"], model_type="qwen2", **fields)
    assert [found for found, _ in codes(diagnosed(folder))] == [code]


def test_marks_of_a_class_are_fields_that_transformers_gives_to_it_alone() -> None:
    known = {name: set(getattr(transformers, name).config_class().to_dict()) for name in MARKS}
    for name, marks in MARKS.items():
        for other in MARKS.keys() - {name}:
            assert known[name] >= marks, name
            assert marks - MARKS[other] <= known[name] - known[other] or _kin(name) != _kin(other), (name, other)


def _kin(name: str) -> bool:
    """Classes of one skeleton, between which marks decide."""
    return name.startswith("Deepseek")


def test_a_class_without_rows_is_held_against_the_class_of_its_tensors(tmp_path: Path) -> None:
    folder = with_norms(tmp_path, architectures=["GemmaForCausalLM"], model_type="gemma")
    first = diagnosed(folder).causes[0].finding
    assert (first.code, first.severity) == ("arch.mismatch", "error")
    assert first.fix is not None and "Gemma2ForCausalLM" in first.fix and "gemma2" in first.fix


def test_a_type_of_another_class_than_the_one_that_is_named_is_a_contradiction(tmp_path: Path) -> None:
    """Transformers' Auto classes would make a Qwen3 of it, with norms that nobody trained."""
    folder = write(tmp_path / "llama", LLAMA, model_type="qwen3")
    (cause,) = diagnosed(folder).causes
    assert (cause.finding.code, cause.finding.subject) == ("config.conflict", "model_type")
    assert cause.changes == (SetField("model_type", "llama"),)
    assert "Qwen3ForCausalLM" in cause.finding.message
    kin = write(tmp_path / "mistral", LLAMA, model_type="mistral")
    assert codes(diagnosed(kin)) == []


def test_the_class_of_a_text_over_the_config_of_the_whole_lacks_no_field(tmp_path: Path) -> None:
    text = {**LLAMA, "model_type": "llama"}
    folder = write(tmp_path, LLAMA, lambda name: f"language_model.{name}")
    whole = {"architectures": LLAMA["architectures"], "model_type": "llama", "text_config": text,
             "vision_config": {"hidden_size": 8}}  # fmt: skip
    write_json(folder / "config.json", whole)
    cause = diagnosed(folder).causes[0]
    assert (cause.finding.code, cause.changes) == ("arch.mismatch", ())
    assert "text_config" in cause.finding.message
    assert "config.missing-field" in {each.code for each in cause.explains}
