"""One false alarm costs nearly as much as one wrong "healthy": whatever the project can write is found sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fixtures.header_set import split
from mappings.registry import choose
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS
from tests.tracer.doctor.told import Told, write_json, write_safetensors

SHARDS = 2


def write(folder: Path, config: Mapping[str, Any]) -> None:
    """All tensors that the rows expect, in two shards with an index."""
    tensors = synthesise(choose(config, None, 1, "BF16").binding)
    homes: dict[str, str] = {}
    for number, own in enumerate(split(tensors, SHARDS), 1):
        file = f"model-{number:05}-of-{SHARDS:05}.safetensors"
        write_safetensors(folder / file, {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in own})
        homes |= dict.fromkeys((tensor.name for tensor in own), file)
    write_json(folder / "config.json", config)
    write_json(folder / "model.safetensors.index.json", {"weight_map": homes})


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_is_sound_as_its_rows_write_it(name: str, tmp_path: Path) -> None:
    small = CONFIGS[name]
    write(tmp_path, small.config)
    told = Told(tmp_path)
    assert told.codes("error", "warning") == set()
    assert {"files", "index", "shards", "names", "shapes"} <= {c.name for c in told.checks if not c.unchecked}


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_sound_without_rows_too(name: str, tmp_path: Path) -> None:
    """What needs no rows is judged by rules that any architecture has to pass."""
    write(tmp_path, CONFIGS[name].config)
    write_json(tmp_path / "config.json", {**CONFIGS[name].config, "architectures": ["StrangeForCausalLM"]})
    told = Told(tmp_path)
    assert told.codes("error", "warning") == set()
    assert "no rows" in told.check("names").unchecked


@pytest.mark.parametrize("config", [
    {"_class_name": "FluxTransformer2DModel", "num_layers": 2}, {"architecture": "resnet50", "num_classes": 10},
])  # fmt: skip
def test_classes_are_chosen_by_other_fields_too(config: Mapping[str, Any], tmp_path: Path) -> None:
    """As Diffusers and timm do."""
    write_json(tmp_path / "config.json", config)
    write_safetensors(tmp_path / "model.safetensors", {f"blocks.{n}.weight": ("F32", (4, 4)) for n in range(2)})
    assert Told(tmp_path).codes("error", "warning") == set()
