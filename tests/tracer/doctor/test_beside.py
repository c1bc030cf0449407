"""What lies beside the weights: texts that loaders read, sub-folders, and values of adapters and of stored heads."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from mappings.findings import Finding
from tests.tracer.doctor.test_peers import GEMMA2, LLAMA, gemma2, without
from tests.tracer.doctor.test_verdict import POINTER
from tests.tracer.doctor.told import Told, write_json, write_safetensors
from tracer.checkpoint.folder import open_checkpoint
from tracer.checks import Check, failed, findings
from tracer.doctor import examine
from tracer.doctor.numbers import examine_numbers
from tracer.doctor.quantisation import unscaled_eights
from tracer.report.checks import summary
from tracer.values import examine as read_values


def model(folder: Path) -> Path:
    write_json(folder / "config.json", GEMMA2)
    write_safetensors(folder / "model.safetensors", {name: ("BF16", shape) for name, shape in gemma2().items()})
    return folder


@pytest.mark.parametrize(("name", "content", "code"), [
    ("tokenizer.json", b"<!DOCTYPE html><html>sign in</html>", "file.html"),
    ("tokenizer.json", POINTER.encode(), "file.lfs-pointer"),
    ("tokenizer.model", POINTER.encode(), "file.lfs-pointer"),
    ("tokenizer.model", b"", "file.empty"),
    ("special_tokens_map.json", b'{"eos_token": ', "config.invalid"),
    ("chat_template.json", b"", "file.empty"),
])  # fmt: skip
def test_a_text_that_is_not_what_it_is_called_is_a_warning(
    name: str, content: bytes, code: str, tmp_path: Path
) -> None:
    (model(tmp_path) / name).write_bytes(content)
    told = Told(tmp_path)
    assert (told[code].severity, told[code].subject) == ("warning", name)
    assert told[code].fix is not None
    assert told.status == 0


def test_texts_that_are_as_they_should_be_are_not_mentioned(tmp_path: Path) -> None:
    write_json(model(tmp_path) / "tokenizer.json", {"model": {"vocab": {}}})
    write_json(tmp_path / "modules.json", [1, 2])
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    assert Told(tmp_path).codes("error", "warning") == set()


def test_pointers_to_texts_are_usual_where_the_weights_are_pointers_too(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", GEMMA2)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text(POINTER)
    assert Told(tmp_path).codes("error", "warning") == set()


def test_weights_in_sub_folders_are_said_to_be_left_out(tmp_path: Path) -> None:
    (model(tmp_path) / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"anything")
    assert "weights in sub-folders were not looked at: 2_Dense" in Told(tmp_path).check("files").unchecked


# --- with values ---

ONES = struct.pack("<f", 1.0)


def adapter(folder: Path, **values: bytes) -> Path:
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]})
    stem = "base_model.model.model.layers.0.self_attn.q_proj."
    tensors = {f"{stem}lora_A.weight": ("F32", (4, 16)), f"{stem}lora_B.weight": ("F32", (16, 4))}
    own = {f"{stem}{side}.weight": content for side, content in values.items()}
    write_safetensors(folder / "adapter_model.safetensors", tensors, own)
    return folder


def valued(model: Path) -> tuple[dict[str, Finding], list[Check]]:
    checks = examine(str(model), values=read_values).checks
    return {each.code: each for each in findings(checks)}, checks


def test_the_values_of_an_adapter_are_read(tmp_path: Path) -> None:
    found, checks = valued(adapter(tmp_path, lora_A=struct.pack("<f", float("nan")) + ONES * 63))
    assert found["value.nonfinite"].severity == "error"
    assert failed(checks)


def test_an_adapter_that_is_not_trained_yet_is_worth_knowing(tmp_path: Path) -> None:
    found, checks = valued(adapter(tmp_path, lora_B=bytes(256)))
    assert found["value.all-zero"].severity == "info"
    assert not failed(checks)


def test_values_that_were_asked_for_and_are_not_here_are_told_with_the_reason(tmp_path: Path) -> None:
    (adapter(tmp_path) / "adapter_model.safetensors").write_text(POINTER)
    _, checks = valued(tmp_path)
    (values,) = [check for check in checks if check.name == "values"]
    assert values.unchecked.startswith("no weights are here (1 Git-LFS pointer")
    assert summary(checks).startswith("no weights are here")


def with_head(folder: Path, same: bool, **config: Any) -> Path:
    write_json(folder / "config.json", {**LLAMA, **config})
    shapes = {**without(gemma2(), "feedforward_layernorm.weight"), "lm_head.weight": (96, 16)}
    table, other = bytes(range(1, 97)) * 32, bytes(range(2, 98)) * 32
    write_safetensors(
        folder / "model.safetensors", {name: ("BF16", shape) for name, shape in shapes.items()},
        {"model.embed_tokens.weight": table, "lm_head.weight": table if same else other},
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(("same", "severity"), [(True, "info"), (False, "error")])
def test_the_values_decide_what_a_stored_head_is_that_config_ties(same: bool, severity: str, tmp_path: Path) -> None:
    assert Told(with_head(tmp_path, same))["tie.conflict"].severity == "warning"
    _, checks = valued(tmp_path)
    assert [each.severity for each in findings(checks) if each.code == "tie.conflict"] == [severity]
    assert failed(checks) == (not same)


def test_a_head_that_is_not_tied_may_be_anything(tmp_path: Path) -> None:
    found, _ = valued(with_head(tmp_path, False, tie_word_embeddings=False))
    assert "tie.conflict" not in found


# --- words ---


def test_one_scale_that_is_missing_among_many_is_an_error(tmp_path: Path) -> None:
    modules = [f"layers.{n}.up_proj" for n in range(5)]
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {f"{module}.weight": ("F8_E4M3", (8, 8)) for module in modules}
    tensors.update((f"{module}.weight_scale", ("F32", ())) for module in modules)
    whole = open_checkpoint(write_safetensors(tmp_path / "a.safetensors", tensors)).tensors
    assert list(unscaled_eights(whole, [t.name for t in whole])) == []
    lone = [t for t in whole if t.name != "layers.3.up_proj.weight_scale"]
    (missing,) = unscaled_eights(lone, [t.name for t in lone])
    assert (missing.code, missing.severity, missing.subject) == ("quant.missing", "error", "layers.3.up_proj.weight")
    cast = [t for t in whole if t.name.endswith("weight")]
    assert list(unscaled_eights(cast, [t.name for t in cast])) == []


def test_layers_too_many_are_told_by_their_number() -> None:
    names = [f"model.layers.{n}.mlp.weight" for n in range(4)]
    (extra,), _ = examine_numbers({"num_hidden_layers": 3}, names, False)
    assert extra.message.startswith("layer 3 of model.layers is in the files, config.json says 3 layers (0 to 2)")


def test_the_fix_for_a_missing_config_is_a_command_that_makes_one(tmp_path: Path) -> None:
    (model(tmp_path) / "config.json").unlink()
    assert "tracer infer MODEL --write-config DIR" in str(Told(tmp_path)["config.missing"].fix)


def test_where_config_alone_is_broken_the_files_are_not_called_damaged(tmp_path: Path) -> None:
    (model(tmp_path) / "config.json").write_text("{,")
    assert Told(tmp_path).check("names").unchecked.startswith("config.json cannot be read")


def test_a_link_that_leads_nowhere_has_a_fix(tmp_path: Path) -> None:
    (model(tmp_path) / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("../blobs/abcdef")
    assert Told(tmp_path)["index.missing-file"].fix is not None
