"""Tensors of another class than config.json names, and tensors that a class has apart and the file in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.checkpoint.folder import open_checkpoint
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
