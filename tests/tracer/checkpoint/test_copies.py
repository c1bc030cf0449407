"""Which files of a folder are read as the model, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.gguf import Stored, Typed, document, split_documents
from fixtures.hostile import entry, file_of
from fixtures.pickles import mapping, tensor, zip_of
from tests.tracer.checkpoint.sharded import codes, write_pointer, write_shard
from tracer.checkpoint.copies import choose
from tracer.checkpoint.files import LocalFiles
from tracer.checkpoint.folder import open_checkpoint
from tracer.errors import InputError, UsageError

VALUES = {"general.architecture": Typed("str", "llama")}
TENSORS = [Stored("a", "F32", (32,), bytes(128)), Stored("b", "F32", (32,), bytes(128))]


def write(folder: Path, file: str) -> None:
    """A small file of weights in the format of its name."""
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(content(file))


def content(file: str) -> bytes:
    if file.endswith(".safetensors"):
        return file_of({"a": entry()})
    if file.endswith(".gguf"):
        return document(VALUES, TENSORS)
    if file.endswith(".json"):
        return json.dumps({"weight_map": {"a": file.replace(".index.json", "")}}).encode()
    return zip_of(mapping({"a": tensor()}))


def read_of(folder: Path, only: str | None = None) -> list[str]:
    chosen = choose(LocalFiles(folder), only)
    return chosen[0].files if chosen else []


@pytest.mark.parametrize(
    ("chosen", "other"),
    [
        ("model.safetensors", "pytorch_model.bin"),
        ("pytorch_model.bin", "model.gguf"),
        ("model.gguf", "consolidated.00.pth"),
        ("pytorch_model.bin", "training_args.bin"),
        ("pytorch_model.bin", "optimizer.pt"),
        ("pytorch_model.bin", "ema.bin"),
        ("model.safetensors", "original/model.safetensors"),
        ("model.safetensors", "metal/model.safetensors"),
        ("pytorch_model.bin", "metal/model.safetensors"),
        ("consolidated.00.pth", "metal/model.bin"),
        ("model.safetensors", "adapter_model.safetensors"),
        ("consolidated.00.pth", "original/consolidated.00.pth"),
        ("model-q4.gguf", "mmproj-f16.gguf"),
        ("odd.bin", "training_args.bin"),
    ],
)
def test_the_one_that_is_read(tmp_path: Path, chosen: str, other: str) -> None:
    write(tmp_path, chosen)
    write(tmp_path, other)
    assert chosen in read_of(tmp_path)
    assert other not in read_of(tmp_path)[:1]


def test_a_wanted_format_is_read_though_another_is_preferred(tmp_path: Path) -> None:
    for file in ("model.safetensors", "pytorch_model.bin", "model.gguf"):
        write(tmp_path, file)
    assert read_of(tmp_path, "pt") == ["pytorch_model.bin"]
    assert read_of(tmp_path, "gguf") == ["model.gguf"]
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path, "pt")
    assert [(f.code, f.severity) for f in checkpoint.findings] == [("shards.second-copy", "info")]
    assert checkpoint.findings[0].evidence["ignored"] == ["model.gguf", "model.safetensors"]


def test_the_copy_for_another_engine_is_named_and_not_read(tmp_path: Path) -> None:
    """As the gpt-oss repositories have it."""
    write(tmp_path, "model.safetensors")
    write(tmp_path, "metal/model.bin")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.names == ["a"]
    assert [(f.code, f.severity) for f in checkpoint.findings] == [("shards.second-copy", "info")]
    assert checkpoint.findings[0].evidence == {"read": ["model.safetensors"], "ignored": ["metal/"]}


def test_the_largest_of_several_quantisations(tmp_path: Path) -> None:
    (tmp_path / "m-Q4.gguf").write_bytes(document(VALUES, TENSORS[:1]))
    (tmp_path / "m-Q8.gguf").write_bytes(document(VALUES, TENSORS))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.names == ["a", "b"]
    assert checkpoint.findings[0].evidence == {"read": ["m-Q8.gguf"], "ignored": ["m-Q4.gguf"]}


def test_the_parts_of_a_split_model_are_one_copy(tmp_path: Path) -> None:
    for file, content in split_documents(VALUES, TENSORS, "m", [1, 1]).items():
        (tmp_path / file).write_bytes(content)
    assert open_checkpoint(tmp_path).names == ["a", "b"]
    assert not open_checkpoint(tmp_path).findings


def test_a_split_model_is_named_by_any_of_its_parts(tmp_path: Path) -> None:
    for file, content in split_documents(VALUES, TENSORS, "m", [1, 1]).items():
        (tmp_path / file).write_bytes(content)
    assert open_checkpoint(tmp_path / "m-00002-of-00002.gguf").names == ["a", "b"]


def test_a_part_that_is_missing(tmp_path: Path) -> None:
    for file, content in split_documents(VALUES, TENSORS, "m", [1, 1]).items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    for given in (tmp_path, tmp_path / "m-00001-of-00002.gguf"):
        (finding,) = open_checkpoint(given).findings
        assert (finding.code, finding.severity, finding.subject) == ("shards.gap", "error", "m-00002-of-00002.gguf")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin", "model.gguf"])
def test_a_file_is_known_by_its_content_where_its_name_says_nothing(tmp_path: Path, file: str) -> None:
    """As the blobs of the Hub's cache are named."""
    (tmp_path / "4d7a").write_bytes(content(file))
    checkpoint = open_checkpoint(tmp_path / "4d7a")
    assert checkpoint.format is not None and checkpoint.format.is_named(file)


def test_what_lies_beside_weights_is_read_when_named(tmp_path: Path) -> None:
    write(tmp_path, "adapter_model.safetensors")
    assert open_checkpoint(tmp_path / "adapter_model.safetensors").names == ["a"]


def test_a_file_under_another_format_s_name_is_told_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content("model.safetensors"))
    with pytest.raises(InputError, match=r"found a safetensors file; name it .safetensors"):
        open_checkpoint(tmp_path)


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
