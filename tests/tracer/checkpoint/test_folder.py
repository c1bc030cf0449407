"""What a folder turns out to be, and when it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.hostile import HOSTILE
from tests.tracer.checkpoint.sharded import codes, refusal, write_index, write_pointer, write_shard
from tracer.checkpoint.folder import open_checkpoint

# --- what there is ---


def test_a_sound_folder(two_shards: Path) -> None:
    checkpoint = open_checkpoint(two_shards)
    assert checkpoint.state == "complete"
    assert checkpoint.names == ["a", "b", "c"] == [tensor.name for tensor in checkpoint.tensors]
    assert checkpoint.config == {"model_type": "llama"}
    assert checkpoint.metadata == {"model-00001-of-00002.safetensors": {"format": "pt"}}
    assert not checkpoint.findings
    assert not checkpoint.unchecked


def test_one_file_brings_its_config(two_shards: Path) -> None:
    checkpoint = open_checkpoint(two_shards / "model-00002-of-00002.safetensors")
    assert checkpoint.names == ["c"]
    assert checkpoint.config is not None
    assert checkpoint.files.folder == two_shards


def test_shards_in_a_subfolder(tmp_path: Path) -> None:
    write_shard(tmp_path, "part/one.safetensors", "a")
    write_index(tmp_path, {"a": "part/one.safetensors"})
    assert open_checkpoint(tmp_path).tensors[0].file == "part/one.safetensors"


def test_links_are_files(tmp_path: Path) -> None:
    """The Hub's cache keeps blobs apart and links to them."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    write_shard(tmp_path, "blobs/4d7a", "a")
    (tmp_path / "snapshot/model.safetensors").symlink_to("../blobs/4d7a")
    assert open_checkpoint(tmp_path / "snapshot").names == ["a"]


def test_unnumbered_files_come_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write_shard(tmp_path, f"part{number}.safetensors", f"t{number}")
    assert open_checkpoint(tmp_path).names == ["t1", "t9", "t10"]


def test_only_a_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.state == "config-only"
    assert [check.name for check in checkpoint.unchecked] == ["headers"]


def test_an_index_alone_gives_names_in_its_order(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        file.unlink()
    checkpoint = open_checkpoint(two_shards)
    assert checkpoint.state == "index-only"
    assert checkpoint.names == ["a", "b", "c"]
    assert checkpoint.tensors == []
    assert not checkpoint.findings


def test_a_clone_without_its_large_files(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        write_pointer(two_shards, file.name, 100)
    checkpoint = open_checkpoint(two_shards)
    assert checkpoint.state == "index-only"
    assert sorted(checkpoint.pointer_sizes.values()) == [100, 100]
    assert codes(checkpoint) == [("file.lfs-pointer", "info")]


def test_pointers_for_some_files_and_not_for_others(two_shards: Path) -> None:
    write_pointer(two_shards, "model-00001-of-00002.safetensors", 100)
    (two_shards / "model-00002-of-00002.safetensors").unlink()
    checkpoint = open_checkpoint(two_shards)
    assert checkpoint.state == "index-only"
    assert codes(checkpoint) == [("index.missing-file", "error"), ("file.lfs-pointer", "info")]


def test_a_pointer_among_files_is_half_a_clone(two_shards: Path) -> None:
    write_pointer(two_shards, "model-00002-of-00002.safetensors", 100)
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("file.lfs-pointer", "error")]
    assert [tensor.name for tensor in checkpoint.tensors] == ["a", "b"]
    assert checkpoint.names == ["a", "b", "c"]


def test_a_gap_in_the_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        write_shard(tmp_path, f"model-{number:05d}-of-00005.safetensors", f"t{number}")
    checkpoint = open_checkpoint(tmp_path)
    assert codes(checkpoint) == [("shards.gap", "error")]
    assert checkpoint.findings[0].evidence["missing"] == [
        "model-00003-of-00005.safetensors",
        "model-00005-of-00005.safetensors",
    ]


def test_a_damaged_file_that_nobody_loads_stops_nobody(two_shards: Path) -> None:
    HOSTILE["hole_between"].write(two_shards / "stray.safetensors")
    checkpoint = open_checkpoint(two_shards)
    assert not checkpoint.findings
    assert "stray.safetensors" in checkpoint.unchecked[0].name


# --- refusals ---


def test_nothing_there(tmp_path: Path) -> None:
    assert "no such file or folder" in str(refusal(tmp_path / "absent"))
    assert "the folder is empty" in str(refusal(tmp_path))


def test_weights_one_level_down(tmp_path: Path) -> None:
    """A folder of models is not a model."""
    write_shard(tmp_path, "unet/model.safetensors", "a")
    write_shard(tmp_path, "vae/model.safetensors", "b")
    assert "in its sub-folders: unet, vae; name one" in str(refusal(tmp_path))


def test_pointers_and_nothing_else(tmp_path: Path) -> None:
    write_pointer(tmp_path, "model.safetensors", 100)
    assert refusal(tmp_path).code == "file.lfs-pointer"


@pytest.mark.parametrize("config", ["", "[]", "null", "{", '{"a": \udcff}', "[" * 100_000])
def test_config_is_no_object(two_shards: Path, config: str) -> None:
    (two_shards / "config.json").write_bytes(config.encode(errors="surrogateescape"))
    assert refusal(two_shards).code == "config.invalid"


def test_config_is_a_pointer(two_shards: Path) -> None:
    write_pointer(two_shards, "config.json", 700)
    assert refusal(two_shards).code == "file.lfs-pointer"


def test_a_damaged_shard_is_refused(two_shards: Path) -> None:
    HOSTILE["cut_in_the_data"].write(two_shards / "model-00002-of-00002.safetensors")
    error = refusal(two_shards)
    assert error.code == "file.truncated"
    assert "model-00002-of-00002.safetensors" in str(error)


def test_all_damaged_shards_are_named_at_once(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        HOSTILE["cut_in_the_data"].write(file)
    error = refusal(two_shards)
    assert error.subject == "model-00001-of-00002.safetensors"
    assert str(error).endswith("; 1 more of 2 files cannot be read: model-00002-of-00002.safetensors")
