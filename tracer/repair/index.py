"""The index of a copy: its map and its size as the files have them, all else as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tracer.checkpoint.files import Files
from tracer.checkpoint.formats import SAFETENSORS
from tracer.checkpoint.index import Index
from tracer.checkpoint.json_object import read_object
from tracer.repair.planned import Planned


def written(files: Files, index: Index | None, homes: Mapping[str, Sequence[Planned]]) -> bytes | None:
    """An index of these files; None where the old one says just that."""
    weight_map = {tensor.name: file for file, tensors in homes.items() for tensor in tensors}
    total = sum(tensor.nbytes for tensors in homes.values() for tensor in tensors)
    content: dict[str, Any] = read_object(files, index.file, "index.invalid") if index else {}
    if index and content["weight_map"] == weight_map and index.total_size == total:
        return None
    metadata = content.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    content = {"metadata": None, **content}
    content["metadata"] = {**kept, "total_size": total}
    content["weight_map"] = dict(sorted(weight_map.items()))
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def name_of(index: Index | None, *, converted: bool) -> str:
    """The old name, where it is one of safetensors."""
    usual = SAFETENSORS.usual_index
    assert usual is not None
    return usual if index is None or converted else index.file
