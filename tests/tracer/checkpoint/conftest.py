"""A checkpoint of two shards and an index, for whoever wants to damage it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracer.checkpoint.sharded import write_index, write_shard


@pytest.fixture
def two_shards(tmp_path: Path) -> Path:
    """A small checkpoint with nothing wrong."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    write_shard(tmp_path, "model-00001-of-00002.safetensors", "a", "b", metadata={"format": "pt"})
    write_shard(tmp_path, "model-00002-of-00002.safetensors", "c")
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_index(tmp_path, {"a": first, "b": first, "c": second}, total_size=24)
    return tmp_path
