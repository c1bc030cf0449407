"""Clones without large files of models that are in no table: published geometries with their own row hidden.

Files are cut as `save_pretrained` cuts them, and are as long as safetensors writes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fixtures import fingerprints
from mappings.sizes import ConfigError
from tests.tracer.infer.synthetic import tensors_of
from tracer.checkpoint.folder import open_checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import Inferred, infer, published, sizes, unnamed
from tracer.infer.canonical import canonical

LIMIT = 5 * 10**9
GEOMETRY = ("layers", "hidden", "heads", "ffn")
COMPARED = (*GEOMETRY, "kv_heads", "vocab", "experts", "moe_ffn", "tie", "dense", "kv_rank", "q_rank", "state")


@cache
def decoders() -> dict[str, tuple[list[TensorInfo], dict[str, Any]]]:
    """Some of each architecture with rows: tensors and config."""
    seen: Counter[str] = Counter()
    found = {}
    for row in fingerprints.table():
        config = published._config(row)
        seen[row.architecture] += 1
        if seen[row.architecture] % 4 == 1 and row.architecture != "DeepseekV3ForCausalLM":  # 92,000 tensors each
            with suppress(ConfigError):
                found[row.name] = tensors_of(config), config
    return found


def data(tensors: Sequence[TensorInfo]) -> int:
    """Bytes, with two or four an element."""
    total = 0
    for tensor in tensors:
        size = 4 if tensor.dtype == "F32" else 2
        for extent in tensor.shape:
            size *= extent
        total += size
    return total


def written(tensors: Sequence[TensorInfo]) -> int:
    """The length of the file that safetensors writes."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in sorted(tensors, key=lambda each: each.name):
        stop = at + data([tensor])
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, stop]}
        at = stop
    header = len(json.dumps(entries, separators=(",", ":")))
    return 8 + header + -header % 8 + at


def shards(tensors: Sequence[TensorInfo]) -> dict[str, list[TensorInfo]]:
    cut: list[list[TensorInfo]] = [[]]
    room = LIMIT
    for tensor in tensors:
        size = data([tensor])
        if size > room and cut[-1]:
            cut.append([])
            room = LIMIT
        cut[-1].append(tensor)
        room -= size
    return {f"model-{n:05d}-of-{len(cut):05d}.safetensors": held for n, held in enumerate(cut, 1)}


def clone(folder: Path, tensors: Sequence[TensorInfo], pointers: bool) -> Path:
    files = shards(tensors)
    index = {"metadata": {"total_size": data(tensors)}, "weight_map": {t.name: f for f, h in files.items() for t in h}}
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for file, held in files.items() if pointers else ():
        point(folder / file, written(held))
    return folder


def point(file: Path, size: int) -> None:
    file.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n")


def hide(config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Forget every published geometry with these widths."""
    own, rows = canonical(config), published.published()
    left = tuple(each for each in rows if any(each.fields.get(name) != own.get(name) for name in GEOMETRY))
    assert len(left) < len(rows)
    for module in (published, sizes, unnamed):
        patch.setattr(module, "published", lambda: left)


def counted(found: Inferred, config: dict[str, Any]) -> Counter[tuple[str, bool]]:
    """How often each confidence is right."""
    wanted = canonical(config)
    return Counter(
        (field.confidence, value == wanted[name])
        for field in found.fields if field.value is not None
        for name, value in canonical({field.name: field.value}).items() if name in COMPARED and name in wanted
    )  # fmt: skip


@pytest.mark.parametrize("pointers", [True, False], ids=["sizes of files", "one total"])
def test_without_its_own_row_nothing_certain_is_wrong_and_hardly_anything_likely(
    tmp_path: Path, pointers: bool
) -> None:  # fmt: skip
    total: Counter[tuple[str, bool]] = Counter()
    for number, (tensors, config) in enumerate(decoders().values()):
        with pytest.MonkeyPatch.context() as patch:
            hide(config, patch)
            checkpoint = open_checkpoint(clone(tmp_path / str(number), tensors, pointers))
            total += counted(infer(checkpoint), config)
    print(dict(total))
    assert total["certain", True] > 30 and not total["certain", False]
    assert total["likely", True] > 20 and total["likely", False] <= 0.03 * total["likely", True]


def test_the_size_of_one_plain_file_is_not_taken_for_a_quantised_model(tmp_path: Path) -> None:
    """Qwen2.5-3B has just as many bytes as Ministral-8B in 4 bits."""
    point(tmp_path / "model.safetensors", 6171927112)
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    assert not infer(checkpoint).fields
