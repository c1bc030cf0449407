"""One file of several, named by itself: it is asked about, and not whether a loader would find it."""

from __future__ import annotations

from pathlib import Path

from tests.tracer.diagnose.written import codes, diagnosed
from tests.tracer.doctor.told import write_json, write_safetensors


def test_a_shard_that_is_named_by_itself_is_not_to_be_called_the_model(tmp_path: Path) -> None:
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        write_safetensors(tmp_path / name, {f"model.layers.{number}.mlp.up_proj.weight": ("BF16", (8, 8))})
    write_json(tmp_path / "config.json", {"architectures": ["StrangeForCausalLM"], "model_type": "strange"})
    found = diagnosed(tmp_path / "model-00001-of-00002.safetensors")
    assert "index.missing-file" not in [code for code, *_ in codes(found)]
    assert codes(diagnosed(tmp_path))[0][0] == "index.missing-file", "of the folder it is said"
