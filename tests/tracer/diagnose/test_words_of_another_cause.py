"""Words that are true and name what follows: the files show the cause itself, and it comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogue import models
from tests.catalogue.folders import shard, shards
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write

GEMMA2 = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
"""Norms that Gemma has not."""
REPORT = "{model} LOAD REPORT from: /models/x\nKey                          | Status     |  | \n{rows}"
"""What Transformers prints of keys that do not meet."""


def report(status: str, *keys: str) -> str:
    return REPORT.format(model="Model", rows="\n".join(f"{key} | {status} |  | " for key in keys))


def test_parameters_that_only_the_class_of_model_type_has_are_no_fault_of_the_engine(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIGS["llama"].config, model_type="qwen3")
    keys = [f"model.layers.{{0, 1}}.self_attn.{norm}.weight" for norm in ("q_norm", "k_norm")]
    found = diagnosed(folder, report("MISSING", *keys))
    assert codes(found) == [("config.conflict", "model_type")]
    assert not found.unanswered


def test_tensors_that_the_class_has_no_place_for_are_another_class_s(tmp_path: Path) -> None:
    model = models.decoder(4, tied=True, model_type="gemma", architecture="GemmaForCausalLM", head_dim=16)
    for layer in range(4):
        for norm in GEMMA2:
            model.put(f"model.layers.{layer}.{norm}.weight", 64)
    keys = [f"model.layers.{{0, 1, 2, 3}}.{norm}.weight" for norm in GEMMA2]
    found = diagnosed(model.write(tmp_path), report("UNEXPECTED", *keys))
    assert codes(found)[0] == ("arch.mismatch", "GemmaForCausalLM")
    assert not found.unanswered


@pytest.mark.parametrize("indexed", [True, False])
def test_a_shard_that_is_gone_comes_before_the_index_that_is_gone_too(indexed: bool, tmp_path: Path) -> None:
    said = "OSError: Error no file named model.safetensors, or pytorch_model.bin, found in directory /models/x."
    shards(models.decoder(6), 3, indexed=indexed)(tmp_path, None)
    (tmp_path / shard(2, 3)).unlink()
    first, *rest = diagnosed(tmp_path, said).causes
    assert first.finding.code in ("shards.gap", "index.missing-file")
    assert shard(2, 3) in first.finding.message
    assert all(cause.finding.severity == "warning" for cause in rest)
