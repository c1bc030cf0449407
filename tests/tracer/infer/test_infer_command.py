"""`tracer infer` as a user meets it: what is printed, written and returned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fixtures import small_checkpoint
from mappings.rows import Architecture
from tests.mappings import small
from tests.tracer.infer.synthetic import inferred, tensors_of
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.cli import main, trace_load


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    small_checkpoint.sound(folder)
    return folder


def test_each_field_is_printed_with_its_confidence_and_evidence(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(model)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("LlamaForCausalLM: ")
    assert "hidden_size" in printed and "certain: model.layers.{}.input_layernorm.weight (8,) = (hidden)" in printed
    assert "unknown: a wavelength leaves no trace in shapes" in printed


def test_the_records_are_findings_checks_and_fields(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(model, num_hidden_layers=3)
    assert main(["infer", str(model), "--json", "-"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records[0]["code"] == "config.conflict" and records[0]["subject"] == "num_hidden_layers"
    kinds = [record["kind"] for record in records]
    assert kinds == sorted(kinds, key=["finding", "check", "field"].index)
    field = next(record for record in records if record.get("name") == "vocab_size")
    assert field == {
        "kind": "field", "name": "vocab_size", "value": 64, "confidence": "certain",
        "evidence": "model.embed_tokens.weight (64, 8) = (vocab, hidden)",
    }  # fmt: skip


def test_without_a_config_the_comparison_is_not_checked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "config.json").unlink()
    assert main(["infer", str(model)]) == 0
    assert "not checked: config (there is no config.json)" in capsys.readouterr().out


def test_a_written_config_loads_and_unknown_fields_are_left_out(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    target = tmp_path / "inferred"
    assert main(["infer", str(model), "--write-config", str(target)]) == 0
    assert "left out, as no tensor tells: rope_theta, rms_norm_eps, hidden_act" in capsys.readouterr().out
    written = json.loads((target / "config.json").read_text())
    assert written["architectures"] == ["LlamaForCausalLM"] and "rope_theta" not in written
    assert trace_load([str(model), "--hf-config-path", str(target), "--plan"]) == 0


def test_a_config_that_is_there_is_never_overwritten(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (model / "config.json").read_bytes()
    assert main(["infer", str(model), "--write-config", str(model)]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert (model / "config.json").read_bytes() == before


def test_shapes_alone_and_parallel_sizes_are_told_when_asked_for(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(model), "--shapes", "--parallel"]) == 0
    printed = capsys.readouterr().out
    assert "shapes alone: 21 tensors, llama" in printed
    assert "--tp: 1, 2" in printed


def test_what_is_no_checkpoint_is_one_line_and_exit_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_lora_matrices_under_the_name_of_a_model_are_said_to_be_an_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file({name.format(side): np.zeros((8, 8), np.float32) for side in "AB"}, tmp_path / "model.safetensors")
    assert main(["infer", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "found 2 LoRA matrices and nothing else: an adapter" in told


def test_a_written_config_says_which_of_its_fields_are_guesses(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(model), "--write-config", str(tmp_path / "inferred")]) == 0
    assert "; guessed: architectures, model_type" in capsys.readouterr().out


def test_a_class_that_is_a_guess_is_said_to_be_one_in_the_first_line(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(model)]) == 0
    assert capsys.readouterr().out.startswith("LlamaForCausalLM: the class is a guess; ")


def test_legal_sizes_that_rest_on_a_guess_say_so_and_those_that_config_json_decides_do_not(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["infer", str(model), "--parallel"]) == 0
    assert "if the guess is right" not in capsys.readouterr().out
    (model / "config.json").unlink()
    assert main(["infer", str(model), "--parallel"]) == 0
    assert "  if the guess is right: num_attention_heads = " in capsys.readouterr().out


def test_no_line_is_longer_than_the_terminal_and_nothing_is_lost(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    assert main(["infer", str(model), "--parallel"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["infer", str(model), "--parallel"]) == 0
    fitted = capsys.readouterr().out
    assert max(map(len, whole.splitlines())) > 100 and max(map(len, fitted.splitlines())) <= 60
    assert fitted.split() == whole.split()


def damage(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


@pytest.mark.parametrize("name", [name for name in small.CONFIGS if "gguf" not in name and "one word" not in name])
def test_rows_and_the_table_of_roles_agree_on_what_a_tensor_is(name: str) -> None:
    """Two sources of truth: every name that rows spell has a role, and every shape that they give its equation."""
    arch: Architecture = small.architecture(small.CONFIGS[name].arch)
    named = [(row, row.pattern.name(i)) for row in small.bind(name).rows for i in row.instances()]
    tensors = [TensorInfo(each, row.leaf.dtype, tuple(row.shape), "f", 0, 0) for row, each in named]
    found = inferred(tensors)
    assert found.names is not None and found.known is not None
    assert not found.names.strange
    assert not [(group.template, told) for group, told, _ in found.known.solved.strange]
    alike = {"LlamaForCausalLM", "MistralForCausalLM"}
    (recognised,) = (field.value[0] for field in found.fields if field.name == "architectures")
    assert recognised == arch.name or {recognised, arch.name} <= alike


def test_a_checkpoint_of_tens_of_thousands_of_tensors_takes_moments() -> None:
    from time import perf_counter

    from fixtures.geometries import geometry

    tensors = tensors_of(geometry("deepseek-v3"))
    assert len(tensors) > 90_000
    start = perf_counter()
    assert inferred(tensors).config()["n_routed_experts"] == 256
    assert perf_counter() - start < 4, "twice what is promised for reading and inferring together, on a busy machine"
