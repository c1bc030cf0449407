"""A folder of shards, written file by file, and what opening it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.hostile import entry, file_of
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.errors import InputError


def write_shard(folder: Path, file: str, *names: str, metadata: dict[str, str] | None = None) -> None:
    """Tensors of eight bytes each, one behind the other."""
    header: dict[str, Any] = {name: entry(offsets=(8 * at, 8 * at + 8)) for at, name in enumerate(names)}
    if metadata:
        header["__metadata__"] = metadata
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(file_of(header, 8 * len(names)))


def write_index(folder: Path, weight_map: dict[str, Any], **metadata: Any) -> None:
    content = {"metadata": metadata, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content))


def write_pointer(folder: Path, file: str, size: int) -> None:
    (folder / file).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize {size}\n")


def codes(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Code and severity of each finding."""
    return [(finding.code, finding.severity) for finding in checkpoint.findings]


def refusal(path: Path) -> InputError:
    """The one line with which opening fails."""
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
    return caught.value
