"""What a folder turns out to be, and what index, headers and disk say against each other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fixtures.hostile import HOSTILE, entry, file_of
from tracer.checkpoint.folder import Checkpoint, open_checkpoint
from tracer.errors import InputError, UsageError


def write_shard(folder: Path, file: str, *names: str, metadata: dict[str, str] | None = None) -> None:
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
    return [(finding.code, finding.severity) for finding in checkpoint.findings]


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def two_shards(tmp_path: Path) -> Path:
    """A small checkpoint with nothing wrong."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    write_shard(tmp_path, "model-00001-of-00002.safetensors", "a", "b", metadata={"format": "pt"})
    write_shard(tmp_path, "model-00002-of-00002.safetensors", "c")
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    write_index(tmp_path, {"a": first, "b": first, "c": second}, total_size=24)
    return tmp_path


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


def test_pointer_sizes_contradict_the_total(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        write_pointer(two_shards, file.name, 10**9)
    assert ("index.total-size", "warning") in codes(open_checkpoint(two_shards))


def test_a_pointer_among_files_is_half_a_clone(two_shards: Path) -> None:
    write_pointer(two_shards, "model-00002-of-00002.safetensors", 100)
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("file.lfs-pointer", "error")]
    assert [tensor.name for tensor in checkpoint.tensors] == ["a", "b"]
    assert checkpoint.names == ["a", "b", "c"]


# --- index, headers and disk ---


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


def test_one_name_in_two_shards(two_shards: Path) -> None:
    write_shard(two_shards, "model-00002-of-00002.safetensors", "b", "c")
    checkpoint = open_checkpoint(two_shards)
    assert ("shards.duplicate-tensor", "error") in codes(checkpoint)
    homes = {tensor.name: tensor.file for tensor in checkpoint.tensors}
    assert homes["b"] == "model-00001-of-00002.safetensors"
    assert len(checkpoint.tensors) == 3


def test_an_index_for_another_layout(two_shards: Path) -> None:
    for file in two_shards.glob("*.safetensors"):
        file.unlink()
    write_shard(two_shards, "model.safetensors", "a", "b", "c")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("index.missing-file", "error")]
    assert "hold all of its tensors" in checkpoint.findings[0].message
    assert checkpoint.names == ["a", "b", "c"]


# --- without an index ---


def test_a_gap_in_the_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        write_shard(tmp_path, f"model-{number:05d}-of-00005.safetensors", f"t{number}")
    checkpoint = open_checkpoint(tmp_path)
    assert codes(checkpoint) == [("shards.gap", "error")]
    assert checkpoint.findings[0].evidence["missing"] == [
        "model-00003-of-00005.safetensors",
        "model-00005-of-00005.safetensors",
    ]


def test_duplicates_without_an_index(tmp_path: Path) -> None:
    write_shard(tmp_path, "one.safetensors", "a", "b")
    write_shard(tmp_path, "two.safetensors", "b", "c")
    checkpoint = open_checkpoint(tmp_path)
    assert codes(checkpoint) == [("shards.duplicate-tensor", "error")]
    assert checkpoint.findings[0].subject == "b"
    assert checkpoint.names == ["a", "b", "c"]


# --- the model twice ---


@pytest.mark.parametrize("indexed", [True, False])
def test_consolidated_weights_are_another_copy(two_shards: Path, indexed: bool) -> None:
    write_shard(two_shards, "consolidated.safetensors", "layers.0.attention.wk.weight")
    if not indexed:
        (two_shards / "model.safetensors.index.json").unlink()
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("shards.second-copy", "info")]
    assert checkpoint.names == ["a", "b", "c"]


def test_consolidated_weights_alone_are_the_model(tmp_path: Path) -> None:
    write_shard(tmp_path, "consolidated.safetensors", "layers.0.attention.wk.weight")
    assert open_checkpoint(tmp_path).names == ["layers.0.attention.wk.weight"]


def test_other_formats_beside_it(two_shards: Path) -> None:
    (two_shards / "pytorch_model.bin").write_bytes(b"")
    write_shard(two_shards, "original/consolidated.00.safetensors", "wk")
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("shards.second-copy", "info")]
    assert checkpoint.findings[0].evidence["ignored"] == ["original/", "pytorch_model.bin"]


def test_every_other_copy_is_named(two_shards: Path) -> None:
    """Shards of a series by the first of them and their number, so that no copy is lost in `and 7 more`."""
    for number in range(1, 6):
        write_shard(two_shards, f"consolidated-{number:05d}-of-00005.safetensors", f"t{number}")
    for file in ("a.gguf", "b.gguf", "pytorch_model.bin", "tf_model.h5"):
        (two_shards / file).write_bytes(b"")
    (finding,) = open_checkpoint(two_shards).findings
    assert "read: model-00001-of-00002.safetensors (2 files)" in finding.message
    for other in ("consolidated-00001-of-00005.safetensors (5 files)", "a.gguf", "b.gguf", "model.bin", "tf_model.h5"):
        assert other in finding.message


def test_a_merged_file_beside_its_shards(two_shards: Path) -> None:
    write_shard(two_shards, "merged.safetensors", "a", "b", "c")
    assert codes(open_checkpoint(two_shards)) == [("shards.second-copy", "warning")]


@pytest.mark.parametrize("index", ["model.fp16.safetensors.index.json", "model.safetensors.index.fp16.json"])
def test_several_indexes_are_several_copies(two_shards: Path, index: str) -> None:
    """Variants of one model: the usual name is read, what the other index names is no stray file."""
    write_shard(two_shards, "model.fp16-00001-of-00001.safetensors", "a", "b", "c")
    weight_map = dict.fromkeys("abc", "model.fp16-00001-of-00001.safetensors")
    (two_shards / index).write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = open_checkpoint(two_shards)
    assert codes(checkpoint) == [("shards.second-copy", "info")]
    assert checkpoint.index is not None and checkpoint.index.file == "model.safetensors.index.json"
    assert checkpoint.findings[0].evidence["ignored"] == ["model.fp16-00001-of-00001.safetensors"]


def test_files_before_pointers_before_promises(two_shards: Path) -> None:
    """A safetensors index whose files are pointers, and another whose files are here."""
    for file in two_shards.glob("*.safetensors"):
        write_pointer(two_shards, file.name, 100)
    write_shard(two_shards, "b.safetensors", "a", "b", "c")
    weight_map = dict.fromkeys("abc", "b.safetensors")
    (two_shards / "b.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    checkpoint = open_checkpoint(two_shards)
    assert checkpoint.index is not None and checkpoint.index.file == "b.safetensors.index.json"
    assert checkpoint.state == "complete"


def test_a_format_that_is_asked_for_and_not_there(two_shards: Path) -> None:
    with pytest.raises(UsageError, match=r"--load-format gguf: .* found safetensors files"):
        open_checkpoint(two_shards, "gguf")


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


@pytest.mark.parametrize(
    "weight_map",
    [
        [],
        {"a": 3},
        {"a": ""},
        {"a": "/etc/passwd"},
        {"a": "../other/model.safetensors"},
        {"a": "part/../../model.safetensors"},
        {"a": "..\\model.safetensors"},
        {"a": "C:\\model.safetensors"},
        {"a": "model\0.safetensors"},
        {"a": "x" * 300},
        {"\ud800": "model.safetensors"},
    ],
)
def test_index_is_invalid(two_shards: Path, weight_map: Any) -> None:
    write_index(two_shards, weight_map)
    assert refusal(two_shards).code == "index.invalid"


def test_index_names_one_tensor_twice(two_shards: Path) -> None:
    text = '{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}'
    (two_shards / "model.safetensors.index.json").write_text(text)
    assert refusal(two_shards).code == "index.invalid"


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert "a pipe" in str(refusal(tmp_path))
    assert "a pipe" in str(refusal(tmp_path / "model.safetensors"))


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    assert "a folder" in str(refusal(tmp_path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/dev/zero")
    assert "a device" in str(refusal(tmp_path))
