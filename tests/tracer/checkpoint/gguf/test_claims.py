"""What a GGUF file's keys claim of its tensors, and what is said if they are wrong."""

from __future__ import annotations

import io

import pytest

from fixtures.gguf import Stored, Typed, document
from mappings.findings import Finding
from tracer.checkpoint.gguf import read

EMBEDDING = Stored("token_embd.weight", "F32", (32, 64), bytes(8192))
HALF = Stored("blk.0.ffn_up.weight", "F16", (64, 128), bytes(16384))
NORM = Stored("output_norm.weight", "F32", (64,), bytes(256))


def found(*tensors: Stored, **values: Typed) -> list[Finding]:
    keys = {"general.architecture": Typed("str", "llama")} | {key.replace("__", "."): v for key, v in values.items()}
    content = document(keys, tensors)
    return read(io.BytesIO(content), len(content), "m.gguf", "m.gguf").findings


def tokens(number: int) -> Typed:
    return Typed("[str]", ["x"] * number)


def test_as_many_tokens_as_rows() -> None:
    assert found(EMBEDDING, tokenizer__ggml__tokens=tokens(32)) == []


@pytest.mark.parametrize("values", [
    {"tokenizer__ggml__tokens": tokens(30)}, {"llama__vocab_size": Typed("u32", 30)},
    {"tokenizer__ggml__tokens": tokens(30), "llama__vocab_size": Typed("u32", 32)},
])  # fmt: skip
def test_another_number_of_tokens_than_rows(values: dict[str, Typed]) -> None:
    (finding,) = found(EMBEDDING, **values)
    assert (finding.code, finding.severity) == ("config.conflict", "error")
    assert finding.evidence == {"said": 30, "rows": 32}


@pytest.mark.parametrize(("file_type", "wrong"), [(1, False), (7, True), (15, False), (0, True)])
def test_a_file_type_that_names_one_type_must_be_that_of_the_matrices(file_type: int, wrong: bool) -> None:
    """15 is a mix, whose parts vary; vectors are F32 everywhere."""
    findings = found(HALF, NORM, general__file_type=Typed("u32", file_type))
    assert [(f.code, f.severity, f.subject) for f in findings] == (
        [("config.conflict", "warning", "general.file_type")] if wrong else []
    )


def test_a_part_of_a_split_says_nothing_of_the_whole() -> None:
    assert found(HALF, general__file_type=Typed("u32", 7), split__count=Typed("u16", 2)) == []
