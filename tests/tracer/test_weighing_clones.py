"""Clones of the embedded geometries, as their publishers would have made them: sound ones, and ones that are not.

What is harmless must stay without a warning, and one wrong value in config.json must never pass. Files are as large
as the format says: eight bytes, a header in JSON padded to eight, the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fixtures.geometries import geometry
from mappings.findings import Finding
from mappings.registry import choose
from mappings.synth import Synthetic, synthesise
from tests.tracer.test_weighing import point
from tracer.errors import Refused
from tracer.session import Request, run

NAMES = [
    "bloom-560m", "deepseek-v2-lite", "falcon-40b", "gpt2", "jamba-v0.1", "llama-3-8b", "llama-3.2-1b", "mamba-2.8b",
    "mamba2-2.7b", "mixtral-8x7b", "phi-3-mini-4k", "qwen2-7b", "qwen3-8b",
]  # fmt: skip
BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}
LIMIT = 5 * 10**9


class Sizes(NamedTuple):
    """What a publisher's tool wrote."""

    weight_map: dict[str, str]
    files: dict[str, int]
    total: int


def tensors_of(config: Mapping[str, Any]) -> list[Synthetic]:
    """All in the data type that config.json states."""
    binding = choose(config, None, 1, "BF16").binding
    return [tensor._replace(dtype="BF16") for tensor in synthesise(binding)]


def config_of(name: str) -> dict[str, Any]:
    config = geometry(name) | {"torch_dtype": "bfloat16"}
    config.pop("quantization_config", None)
    return config


def stored(tensors: list[Synthetic]) -> Sizes:
    """In shards, as `save_pretrained` cuts them."""
    shards, filled = list[list[Synthetic]]([[]]), 0
    for tensor in tensors:
        size = nbytes(tensor)
        if shards[-1] and filled + size > LIMIT:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += size
    files = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    homes = {tensor.name: file for file, own in zip(files, shards, strict=True) for tensor in own}
    return Sizes(homes, dict(zip(files, map(file_size, shards), strict=True)), sum(map(nbytes, tensors)))


def nbytes(tensor: Synthetic) -> int:
    return prod(tensor.shape) * BYTES[tensor.dtype]


def file_size(tensors: list[Synthetic]) -> int:
    at, header = 0, dict[str, Any](__metadata__={"format": "pt"})
    for name, dtype, shape in tensors:
        end = at + prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    length = len(json.dumps(header, separators=(",", ":")))
    return 8 + length + -length % 8 + at


def judged(folder: Path, config: Mapping[str, Any], sizes: Sizes, pointers: bool = True) -> list[Finding]:
    """What is said of the clone, but for what is normal; one that is refused outright is said too."""
    index = {"metadata": {"total_size": sizes.total}, "weight_map": sizes.weight_map}
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config))
    for file, size in sizes.files.items() if pointers else ():
        point(folder / file, size)
    try:
        found = run(Request(str(folder), plan_only=True)).findings
    except Refused as refused:
        found = [refused.finding]
    return [finding for finding in found if finding.code != "file.lfs-pointer"]


def vectors(tensor: Synthetic) -> bool:
    return len(tensor.shape) == 1


def norms(tensor: Synthetic) -> bool:
    return vectors(tensor) and ("norm" in tensor.name or "ln_" in tensor.name)


def tables(tensor: Synthetic) -> bool:
    return any(word in tensor.name for word in ("embed", "wte", "lm_head")) and len(tensor.shape) == 2


def routers(tensor: Synthetic) -> bool:
    return tensor.name.endswith((".gate.weight", ".router.weight"))


def one_row(tensor: Synthetic) -> bool:
    return tensor.name.endswith((".input_layernorm.weight", ".ln_1.weight", "mixer.D"))


def one_projection(tensor: Synthetic) -> bool:
    return tensor.name.endswith(".15.mlp.down_proj.weight")


def prepared_for_training(tensor: Synthetic) -> bool:
    """What PEFT's preparation for training in few bits leaves in F32."""
    return vectors(tensor) or tables(tensor)


HABITS = [vectors, norms, tables, routers, one_row, one_projection, prepared_for_training]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_sound_is_not_doubted(name: str, tmp_path: Path) -> None:
    config = config_of(name)
    sizes = stored(tensors_of(config))
    assert judged(tmp_path, config, sizes) == []
    with_headers = sizes._replace(total=sum(sizes.files.values()))
    assert judged(tmp_path, config, with_headers) == []


@pytest.mark.parametrize("kept", HABITS, ids=lambda kept: str(kept.__name__))
@pytest.mark.parametrize("name", NAMES)
def test_some_tensors_in_f32_are_no_fault(name: str, kept: Callable[[Synthetic], bool], tmp_path: Path) -> None:
    config = config_of(name)
    tensors = [t._replace(dtype="F32") if kept(t) else t for t in tensors_of(config)]
    for finding in judged(tmp_path, config, stored(tensors)):
        # One row in F32 may weigh what some more tokens weigh: then both are said.
        assert finding.severity == "info" or (kept is one_row and "(or as with vocab_size" in finding.message)


def changes(name: str) -> list[tuple[str, int]]:
    """Values that are another model's: twice, half, a little more."""
    config = config_of(name)
    found = []
    for field in sorted(config):
        value = config[field]
        if type(value) is int and value > 1 and "token_id" not in field and "layers" not in field:
            found += [(field, other) for other in (2 * value, value // 2, value + 64)]
    return found


@pytest.mark.parametrize("name", ["gpt2", "llama-3-8b", "mamba2-2.7b", "phi-3-mini-4k", "qwen2-7b", "qwen3-8b"])
def test_one_wrong_value_never_passes(name: str, tmp_path: Path) -> None:
    config = config_of(name)
    sizes, sound = stored(tensors_of(config)), [(t.name, t.shape) for t in tensors_of(config)]
    for field, value in changes(name):
        wrong = config | {field: value}
        try:
            if [(t.name, t.shape) for t in tensors_of(wrong)] == sound:
                continue
        except Exception:  # the mappings refuse it, and so must the command
            pass
        found = judged(tmp_path, wrong, sizes)
        if field == "vocab_size" and 2 * value == config[field]:
            assert f"vocab_size = {config[field]}" in found[0].message
            continue
        assert {finding.severity for finding in found} & {"error", "warning"}, (field, value)


@pytest.mark.parametrize("off", [8, -8, 3, 1000 * 1000, -1000 * 1000])
@pytest.mark.parametrize("name", ["gpt2", "llama-3-8b", "mixtral-8x7b"])
def test_a_total_that_is_off_is_a_warning(name: str, off: int, tmp_path: Path) -> None:
    config = config_of(name)
    sizes = stored(tensors_of(config))
    for pointers in (True, False):
        folder = tmp_path / str(pointers)
        (finding,) = judged(folder, config, sizes._replace(total=sizes.total + off), pointers)
        assert (finding.code, finding.severity) == ("index.total-size", "warning")


def test_a_lone_total_far_off_is_another_model(tmp_path: Path) -> None:
    (finding,) = judged(tmp_path, config_of("mistral-7b-v0.1"), stored(tensors_of(config_of("llama-3-8b"))), False)
    assert (finding.code, finding.severity) == ("config.conflict", "error")


def test_bloom_may_spell_its_layers_as_others_do(tmp_path: Path) -> None:
    config = config_of("bloom-560m")
    sizes = stored(tensors_of(config))
    config["num_hidden_layers"] = config.pop("n_layer")
    assert judged(tmp_path, config, sizes) == []
