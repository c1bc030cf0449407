"""What index, headers and disk say against each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tracer.checkpoint.sharded import codes, write_index, write_pointer, write_shard
from tracer.checkpoint.folder import open_checkpoint


def test_a_named_file_is_missing(two_shards: Path) -> None:
    (two_shards / "model-00002-of-00002.safetensors").unlink()
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.missing-file", "error")]
    assert checkpoint.findings[0].subject == "model-00002-of-00002.safetensors"
    assert checkpoint.findings[0].evidence["tensors"] == ["c"]
    assert checkpoint.names == ["a", "b", "c"]
    assert checkpoint.state == "complete"


def test_a_promised_tensor_is_missing(two_shards: Path) -> None:
    write_shard(two_shards, "model-00001-of-00002.safetensors", "a")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.missing-tensor", "error"), ("index.total-size", "warning")]
    assert checkpoint.findings[0].subject == "b"
    assert checkpoint.names == ["a", "c"]


def test_a_tensor_is_in_another_shard(two_shards: Path) -> None:
    write_shard(two_shards, "model-00001-of-00002.safetensors", "a")
    write_shard(two_shards, "model-00002-of-00002.safetensors", "b", "c")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.wrong-shard", "error")]
    assert checkpoint.findings[0].evidence["found_in"] == "model-00002-of-00002.safetensors"


def test_a_tensor_that_the_index_does_not_mention(two_shards: Path) -> None:
    write_shard(two_shards, "model-00002-of-00002.safetensors", "c", "mtp")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.unlisted-tensor", "warning"), ("index.total-size", "warning")]
    assert checkpoint.findings[0].subject == "mtp"


@pytest.mark.parametrize("total", [0, 23, 25, 10**71, -1])
def test_a_wrong_total(two_shards: Path, total: int) -> None:
    content = json.loads((two_shards / "model.safetensors.index.json").read_text())
    write_index(two_shards, content["weight_map"], total_size=total)
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.total-size", "warning")]
    assert checkpoint.findings[0].evidence == {"total_size": total, "headers": 24}


@pytest.mark.parametrize("total", ["24", 24.0, None, True])
def test_a_total_that_is_no_number_is_no_total(two_shards: Path, total: object) -> None:
    content = json.loads((two_shards / "model.safetensors.index.json").read_text())
    write_index(two_shards, content["weight_map"], total_size=total)
    assert not open_checkpoint(two_shards).findings


def test_pointer_sizes_contradict_the_total(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        write_pointer(two_shards, file.name, 10**9)
    assert ("index.total-size", "warning") in codes(open_checkpoint(two_shards))


def test_one_name_in_two_shards(two_shards: Path) -> None:
    write_shard(two_shards, "model-00002-of-00002.safetensors", "b", "c")
    checkpoint = open_checkpoint(two_shards)
    assert ("shards.duplicate-tensor", "error") in codes(checkpoint)
    homes = {tensor.name: tensor.file for tensor in checkpoint.tensors}
    assert homes["b"] == "model-00001-of-00002.safetensors"
    assert len(checkpoint.tensors) == 3


def test_duplicates_without_an_index(tmp_path: Path) -> None:
    write_shard(tmp_path, "one.safetensors", "a", "b")
    write_shard(tmp_path, "two.safetensors", "b", "c")
    checkpoint = open_checkpoint(tmp_path)
    assert codes(checkpoint) == [("shards.duplicate-tensor", "error")]
    assert checkpoint.findings[0].subject == "b"
    assert checkpoint.names == ["a", "b", "c"]


def test_an_index_for_another_layout(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        file.unlink()
    write_shard(two_shards, "model.safetensors", "a", "b", "c")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.missing-file", "error")]
    assert "hold all of its tensors" in checkpoint.findings[0].message
    assert checkpoint.names == ["a", "b", "c"]
