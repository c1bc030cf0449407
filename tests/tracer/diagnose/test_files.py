"""Damage of files comes first, and what is unfilled because of it is folded under it."""

from __future__ import annotations

from pathlib import Path

from tests.mappings.small import CONFIGS
from tests.tracer.diagnose.written import codes, diagnosed, write
from tests.tracer.doctor.test_healthy import write as write_shards

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1000\n"
TOO_LARGE = "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"


def test_an_absent_shard_explains_every_parameter_that_it_would_fill(tmp_path: Path) -> None:
    write_shards(tmp_path, CONFIGS["llama"].config)
    (tmp_path / SECOND).unlink()
    (cause,) = diagnosed(tmp_path).causes
    assert (cause.finding.code, cause.finding.subject) == ("index.missing-file", SECOND)
    assert {finding.code for finding in cause.explains} <= {"param.unfilled", "layers.missing"}
    assert cause.explains


def test_the_same_without_an_index(tmp_path: Path) -> None:
    write_shards(tmp_path, CONFIGS["llama"].config)
    (tmp_path / SECOND).unlink()
    (tmp_path / INDEX).unlink()
    (cause,) = diagnosed(tmp_path).causes
    assert cause.finding.code == "shards.gap"
    assert "10 tensors that nothing else here has" in cause.finding.message


def test_a_pointer_is_what_was_too_large(tmp_path: Path) -> None:
    """The same words are said of web pages, of other formats, and of headers that are too large."""
    write_shards(tmp_path, CONFIGS["llama"].config)
    (tmp_path / SECOND).write_bytes(POINTER)
    found = diagnosed(tmp_path, TOO_LARGE)
    assert codes(found) == [("file.lfs-pointer", SECOND)]
    assert [complaint.text for complaint in found.causes[0].answers] == [TOO_LARGE]


def test_the_words_are_held_against_the_bytes(tmp_path: Path) -> None:
    write_shards(tmp_path, CONFIGS["llama"].config)
    (tmp_path / SECOND).write_bytes(b"<!DOCTYPE html><html><title>403 Forbidden</title></html>")
    found = diagnosed(tmp_path, TOO_LARGE)
    assert codes(found)[0][0] == "file.html"
    assert found.causes[0].answers


def test_damage_is_told_before_a_field_that_is_wrong_as_well(tmp_path: Path) -> None:
    write_shards(tmp_path, CONFIGS["llama"].config)
    data = (tmp_path / FIRST).read_bytes()
    (tmp_path / FIRST).write_bytes(data[:-7])
    found = diagnosed(tmp_path)
    assert found.causes[0].finding.code == "file.truncated"


def test_layers_that_somebody_asks_for_and_no_header_has_are_missing(tmp_path: Path) -> None:
    """Without these words the tensors outrank config.json, and the number of layers is what is wrong."""
    folder = write(tmp_path, CONFIGS["llama"].config, num_hidden_layers=5)
    assert codes(diagnosed(folder)) == [("config.conflict", "num_hidden_layers")]
    (cause,) = diagnosed(folder, "RuntimeError: weight model.layers.3.mlp.gate_proj.weight does not exist").causes
    assert cause.finding.code == "layers.missing"
    assert "set num_hidden_layers to 2 if the model was cut" in (cause.finding.fix or "")
