"""`--verify` and `--reference` where there is nothing to compute with or to compare with: not checked, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.dtypes import TORCH
from tests.engine.checkpoints import VOCABULARY, config_of
from tests.mappings import small
from tests.threads import one_thread
from tests.tracer.checkpoint.gguf.conversion import convert
from tests.tracer.families import Checkpoint, checkpoint
from tests.tracer.recorded import checks
from tests.verifying import (
    Case,
    alone,
    altered,
    with_config,
)
from tracer.cli import trace_load
from tracer.prepare import Request, prepare

__all__ = ["checkpoint", "one_thread"]


# --- the load ---


def verdict_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = trace_load(argv)
    return status, [line for line in capsys.readouterr().out.splitlines() if line.startswith(("verify", "reference"))]


@pytest.mark.parametrize(("options", "reason"), [
    (["--plan"], "--plan"),
    (["--tp", "2", "--load-format", "dummy"], "on the meta device there are no values"),
    (["--tp", "2", "--rank", "1", "--device", "cpu"], "of 2 ranks only rank 1 was loaded"),
])  # fmt: skip
def test_what_cannot_be_computed_with_is_not_checked(
    options: list[str], reason: str, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "t.jsonl"
    command = [str(checkpoint("llama")), *options, "--reference", "transformers", "--json", str(path)]
    status, lines = verdict_lines(command, capsys)
    assert status == 0
    assert [line.partition(" (")[0] for line in lines] == ["verify: not checked", "reference: not checked"]
    assert all(reason in line for line in lines)
    assert {checks(path)[name][0] for name in ("verify", "reference")} == {"not-checked"}


def test_without_the_options_nothing_is_said_and_nothing_recorded(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "t.jsonl"
    assert verdict_lines([str(checkpoint("llama")), "--load-format", "dummy", "--json", str(path)], capsys) == (0, [])
    assert not {"verify", "reference"} & set(checks(path))


@pytest.mark.parametrize(("config", "reason"), [
    (small.CONFIGS["falcon"].config, "FalconForCausalLM has rows and no modules"),
    (
        config_of("llama") | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 16]}},
        "no linear method computes with weights stored as fp8",
    ),
], ids=["falcon", "fp8"])  # fmt: skip
def test_a_model_without_a_forward_pass_is_not_checked(config: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Traced through a skeleton, or stored as nothing here multiplies with."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = {
        info.name: torch.ones(info.shape).to(TORCH[info.dtype])
        for info in prepare(Request(str(tmp_path), load_format="dummy", dtype="float32")).infos
    }  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors")
    found = alone(Case(tmp_path), tmp_path)
    assert [check.state for check in found] == ["not-checked"] * 2
    assert all(reason in check.told for check in found)


# --- the reference ---


def test_a_reference_that_does_not_fit_into_memory_is_not_begun(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("engine.memory.free_bytes", lambda device: 1 << 20)
    monkeypatch.setattr("tracer.execute.verify.reference._load", pytest.fail)
    verify, reference = alone(Case(checkpoint("llama")), tmp_path)
    assert verify.state == "ok"
    assert reference.line().endswith("for it in float32, 1.05 MB are free)")


def test_what_transformers_lacks_or_does_not_load_is_not_checked(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    folder, sound = checkpoint("llama"), checkpoint("llama-tied")
    incomplete = altered(folder, tmp_path / "incomplete", lambda tensors: tensors.pop("model.norm.weight"))
    assert "misses 1 tensors: model.norm.weight" in alone(Case(folder), tmp_path, incomplete)[1].line()
    assert "does not load them: " in alone(Case(folder), tmp_path, other_shape(sound, tmp_path / "other"))[1].line()
    assert "3 here, 2 there" in alone(Case(folder), tmp_path, fewer_layers(folder, tmp_path / "fewer"))[1].line()
    gguf = convert(folder, tmp_path / "model.gguf")
    assert "--reference transformers=DIR" in alone(Case(gguf), tmp_path)[1].line()
    monkeypatch.setattr("transformers.LlamaForCausalLM", None)
    assert alone(Case(folder), tmp_path)[1].line().endswith("has no LlamaForCausalLM)")


def other_shape(source: Path, to: Path) -> Path:
    """Tensors that no class of Transformers takes for this config."""
    return with_config(source, to, vocab_size=VOCABULARY + 3)


def fewer_layers(source: Path, to: Path) -> Path:
    return with_config(source, to, num_hidden_layers=2)
