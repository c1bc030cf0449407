"""Models in several files: every part there once, every tensor, and one description of the whole."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from fixtures.gguf import Stored, Typed, document, split_documents
from tracer.checkpoint.gguf import Split, check_splits, config_of_splits, read, split_of
from tracer.checkpoint.header import Header

VALUES = {"general.architecture": Typed("str", "llama"), "llama.vocab_size": Typed("u32", 99)}
TENSORS = [
    Stored("token_embd.weight", "F16", (4, 8), bytes(64)), Stored("blk.0.attn_q.weight", "F16", (8, 8), bytes(128)),
    Stored("blk.0.attn_q.bias", "F32", (8,), bytes(32)), Stored("output.weight", "F16", (4, 8), bytes(64)),
]  # fmt: skip


def headers(files: Mapping[str, bytes]) -> dict[str, Header]:
    return {name: read(io.BytesIO(raw), len(raw), name, name) for name, raw in files.items()}


@pytest.fixture
def files() -> dict[str, bytes]:
    """Three parts; the first holds no tensors, as some are published."""
    return split_documents(VALUES, TENSORS, "m-Q4", [0, 3, 1])


def test_a_part_says_where_it_belongs(files: dict[str, bytes]) -> None:
    assert [split_of(header) for header in headers(files).values()] == [Split(n, 3, 4) for n in range(3)]


def test_a_model_in_one_file_is_no_split() -> None:
    whole = headers({"m.gguf": document(VALUES, TENSORS), "n.gguf": document({"split.count": Typed("u16", 1)}, [])})
    assert [split_of(header) for header in whole.values()] == [None, None]
    assert check_splits(whole) == []


def test_a_part_number_that_is_no_number_says_nothing() -> None:
    values = VALUES | {"split.count": Typed("str", "9" * 5000), "split.no": Typed("str", "9" * 5000)}
    whole = headers({"m.gguf": document(values, TENSORS)})
    assert [split_of(header) for header in whole.values()] == [None]


def test_a_whole_model_is_nothing_to_speak_of(files: dict[str, bytes]) -> None:
    assert check_splits(headers(files)) == []


def test_the_description_takes_the_tensors_of_all_parts(files: dict[str, bytes]) -> None:
    found = headers(files)
    (first, *others) = found.values()
    assert [header.config for header in others] == [None, None]
    assert first.config is not None
    assert first.config["vocab_size"] == 99
    assert config_of_splits(found) == headers({"m.gguf": document(VALUES, TENSORS)})["m.gguf"].config
    assert config_of_splits({"b": others[0]}) is None


def test_the_order_of_the_files_does_not_matter(files: dict[str, bytes]) -> None:
    found = headers(files)
    assert config_of_splits(dict(reversed(found.items()))) == config_of_splits(found)
    assert check_splits(dict(reversed(found.items()))) == []


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_part_that_is_missing_is_named(files: dict[str, bytes], missing: int) -> None:
    del files[f"m-Q4-0000{missing + 1}-of-00003.gguf"]
    (finding,) = check_splits(headers(files))
    assert (finding.code, finding.severity) == ("shards.gap", "error")
    assert finding.evidence["missing"] == [f"m-Q4-0000{missing + 1}-of-00003.gguf"]


def test_a_part_that_is_a_pointer_is_not_missing(files: dict[str, bytes]) -> None:
    name = "m-Q4-00002-of-00003.gguf"
    del files[name]
    assert check_splits(headers(files), [name]) == []


def test_a_count_of_tensors_that_is_not_reached() -> None:
    files = split_documents(VALUES, TENSORS, "m", [2, 2])
    files["m-00002-of-00002.gguf"] = split_documents(VALUES, TENSORS[:3] + TENSORS[3:], "m", [3, 1])[
        "m-00002-of-00002.gguf"
    ]
    (finding,) = check_splits(headers(files))
    assert finding.code == "index.missing-tensor"
    assert "split.tensors.count is 4, the 2 files hold 3: 1 too few" in finding.message


def test_a_count_of_tensors_that_is_exceeded() -> None:
    files = split_documents(VALUES, TENSORS, "m", [2, 2])
    files["m-00001-of-00002.gguf"] = split_documents(VALUES, TENSORS, "m", [3, 1])["m-00001-of-00002.gguf"]
    (finding,) = check_splits(headers(files))
    assert finding.code == "index.unlisted-tensor"
    assert "1 too many" in finding.message


def test_a_part_under_another_part_s_name(files: dict[str, bytes]) -> None:
    first, second, third = files
    swapped = {first: files[first], second: files[third], third: files[second]}
    assert {f.code for f in check_splits(headers(swapped))} == {"index.wrong-shard"}


def test_one_part_twice(files: dict[str, bytes]) -> None:
    files["copy.gguf"] = files["m-Q4-00002-of-00003.gguf"]
    assert "shards.duplicate-tensor" in {f.code for f in check_splits(headers(files))}


def test_parts_of_different_models() -> None:
    files = split_documents(VALUES, TENSORS, "m", [2, 2]) | split_documents(VALUES, TENSORS, "n", [2, 1, 1])
    (finding,) = check_splits(headers(files))
    assert finding.code == "index.invalid"


def test_an_absurd_count_makes_no_list() -> None:
    keys = {"split.no": Typed("u16", 0), "split.count": Typed("u64", 2**60), "split.tensors.count": Typed("i32", 0)}
    (finding,) = check_splits(headers({"m.gguf": document(keys, [])}))
    assert finding.code == "shards.gap"
    assert str(2**60 - 1) in finding.message
    assert len(finding.evidence["missing"]) == 10_000


def test_a_number_beyond_the_count() -> None:
    keys = {"split.no": Typed("u16", 5), "split.count": Typed("u16", 2), "split.tensors.count": Typed("i32", 0)}
    found = check_splits(headers({"m.gguf": document(keys, [])}))
    assert [finding.code for finding in found] == ["index.wrong-shard", "shards.gap"]
