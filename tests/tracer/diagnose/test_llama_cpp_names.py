"""Names of one container in another: llama.cpp's are known to readers of GGUF, and to nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.architectures import BUILT_IN
from mappings.bind import Binder
from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed
from tests.tracer.doctor.told import write_json, write_safetensors
from tracer.repair.changes import Rename

BLK = "ValueError: There is no module or parameter named 'blk' in {}"


@pytest.mark.parametrize("said", ["", BLK])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_they_are_wrong_in_safetensors_and_come_back(family: str, said: str, tmp_path: Path) -> None:
    config = CONFIGS[family].config
    name = config["architectures"][0]
    [dialect] = [arch for arch in BUILT_IN if arch.name == name and arch.dialect == "gguf"]
    held = synthesise(Binder(dialect, config, 1, set(), "BF16").bind())
    write_safetensors(tmp_path / "model.safetensors", {each.name: (each.dtype, tuple(each.shape)) for each in held})
    write_json(tmp_path / "config.json", config)
    found = diagnosed(tmp_path, said.format(name))
    assert [code for code, _ in codes(found)] == ["name.rewrite"]
    [cause] = found.causes
    [change] = cause.changes
    assert isinstance(change, Rename)
    assert set(change.names.values()) == {each.name for each in synthesise(choose(config, None, 1, "BF16").binding)}
    assert "rows of q and k" in cause.finding.message
    assert not found.unanswered
