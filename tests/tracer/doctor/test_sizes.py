"""Sizes of files that are not here, against what config.json declares: bytes an element, bits and groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fixtures.geometries import geometry
from mappings.registry import choose
from mappings.synth import synthesise
from tests import corpus
from tests.mappings.small import CONFIGS
from tests.tracer.doctor.told import Told, write_json
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.doctor.expected import expected
from tracer.doctor.sizes import Packed, fits, packed_bytes

GPTQ = [slug for slug in corpus.slugs() if "-gptq-" in slug]
PLAIN = ["llama", "llama tied", "llama with biases", "mistral", "qwen2", "qwen3", "mixtral"]


def redeclared(slug: str, folder: Path, **changes: Any) -> Told:
    """A checkpoint of the corpus with other values in config.json; in its quantization_config, where it has one."""
    path = corpus.materialise(slug, folder / slug) / "config.json"
    config = json.loads(path.read_text())
    (config.get("quantization_config") or config).update(changes)
    write_json(path, config)
    (path.parent / "quantize_config.json").unlink(missing_ok=True)
    return Told(path.parent)


def declared(slug: str) -> Packed:
    scheme = corpus.described(slug, "config.json")["quantization_config"]
    return Packed(scheme["bits"], scheme["group_size"])


@pytest.mark.parametrize("slug", GPTQ)
def test_published_files_have_the_size_of_their_bits_and_groups(slug: str, tmp_path: Path) -> None:
    told = redeclared(slug, tmp_path)
    assert told.codes("error", "warning") == set()
    assert f"bytes are what {declared(slug)} take" in told.check("sizes").told


@pytest.mark.parametrize("slug", GPTQ)
def test_other_bits_than_the_file_has_are_an_error_with_the_right_ones(slug: str, tmp_path: Path) -> None:
    right = declared(slug)
    told = redeclared(slug, tmp_path, bits=8 if right.bits != 8 else 4)
    assert told.codes("error") == {"config.conflict"}
    assert list(right) in told["config.conflict"].evidence["fits"]


@pytest.mark.parametrize(("bits", "group"), [(4, 128), (8, 32), (3, 64)])
def test_packed_bytes_are_those_of_the_tensors_themselves(bits: int, group: int) -> None:
    """Against the four tensors of a linear layer, counted one by one."""
    outputs, inputs = 256, 512
    words = {"qweight": (inputs * bits // 32, outputs), "qzeros": (inputs // group, outputs * bits // 32)}
    counted = sum(4 * a * b for a, b in words.values()) + 2 * outputs * inputs // group + 4 * inputs
    layer = TensorInfo("layers.0.up.weight", "F16", (outputs, inputs), None, None, 2 * outputs * inputs)
    table = TensorInfo("embed.weight", "F16", (10, 10), None, None, 200)
    assert packed_bytes([layer, table], Packed(bits, group)) == counted + 200
    assert fits([layer, table], Packed(bits, group), counted + 200)
    assert not fits([layer, table], Packed(bits, group), counted + 200 - 1)


def test_a_data_type_that_the_size_contradicts_is_a_warning(tmp_path: Path) -> None:
    slug = "phi-2-mixformer-bin"
    assert redeclared(slug, tmp_path / "a").codes("warning", "error") == set()
    told = redeclared(slug, tmp_path / "b", torch_dtype="float16")["config.conflict"]
    assert (told.severity, told.evidence["bytes_per_element"]) == ("warning", 4)


@pytest.mark.parametrize("name", PLAIN)
def test_elements_are_counted_as_the_rows_count_them(name: str) -> None:
    config: Mapping[str, Any] = {**CONFIGS[name].config, "model_type": name.partition(" ")[0]}
    tensors = synthesise(choose(config, None, 1, "BF16").binding)
    found = expected(config, [tensor.name for tensor in tensors])
    sizes = [1] * len(tensors)
    for at, tensor in enumerate(tensors):
        for extent in tensor.shape:
            sizes[at] *= extent
    assert (found.elements, found.unknown) == (sum(sizes), [])


@pytest.mark.parametrize("bits", [0, -4, 10**400], ids=["none", "negative", "huge"])
def test_bits_that_no_format_packs_are_not_checked(bits: int, tmp_path: Path) -> None:
    told = redeclared(GPTQ[0], tmp_path, bits=bits)
    assert "which no format packs" in told.check("sizes").unchecked


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "StrangeForCausalLM"])
@pytest.mark.parametrize("total", [10**72, 10**4000], ids=["72 digits", "4000 digits"])
def test_a_total_of_any_length_is_compared(architecture: str, total: int, tmp_path: Path) -> None:
    config = geometry("llama-3-8b")
    names = [tensor.name for tensor in synthesise(choose(config, None, 1, "BF16").binding)]
    write_json(tmp_path / "config.json", config | {"architectures": [architecture]})
    index = {"metadata": {"total_size": total}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    write_json(tmp_path / "model.safetensors.index.json", index)
    assert "sizes" in {check.name for check in Told(tmp_path).checks}
