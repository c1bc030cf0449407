"""What a GGUF file's keys claim of its tensors, and what is said if they are wrong."""

from __future__ import annotations

import io

import pytest

from fixtures.gguf import Stored, Typed, document
from mappings.findings import Finding
from mappings.ggml import STORED_TYPES
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


def layer(dtype: str, inputs: int = 256, module: str = "ffn_up") -> Stored:
    kind = next(kind for kind in STORED_TYPES.values() if kind.name == dtype)
    return Stored(f"blk.0.{module}.weight", dtype, (64, inputs), bytes(64 * inputs // kind.elements * kind.nbytes))


def table(dtype: str) -> Stored:
    return layer(dtype, 2560)._replace(name="token_embd.weight")


Q4_0, Q6_K, F16, Q4_K_M, IQ1_S = 2, 18, 1, 15, 24


@pytest.mark.parametrize(("file_type", "tensors"), [
    (Q6_K, [layer("Q8_0", 896), layer("Q6_K", module="ffn_down")]),  # 896 is no whole number of blocks of 256
    (Q4_0, [layer("Q4_0"), table("F16")]),  # Google's own Gemma 3
    (Q4_0, [layer("Q4_0"), layer("Q4_1", module="ffn_down"), table("Q6_K")]),
    (F16, [layer("F16", module="attn_q"), layer("MXFP4", 2560)]),  # gpt-oss, whose experts are published in it
    (7, [layer("Q8_0"), layer("BF16", 512, "attn_q")]),  # dynamic ones of eight bits
    (Q4_K_M, [layer("Q5_0", 896)]), (Q4_K_M, [layer("Q6_K")]), (Q4_K_M, [layer("IQ4_XS")]),
    (IQ1_S, [layer("IQ1_S"), layer("Q4_K", 2560, "ffn_down")]),
    (1024 + 7, [layer("F16")]), (142, [layer("IQ6_K")]), (40, [layer("F16")]),
])  # fmt: skip
def test_what_quantisers_make_under_that_name_is_no_conflict(file_type: int, tensors: list[Stored]) -> None:
    assert found(*tensors, general__file_type=Typed("u32", file_type)) == []


@pytest.mark.parametrize(("file_type", "tensors", "says"), [
    (7, [layer("Q8_0"), layer("IQ3_S", 2560, "ffn_down")],
     "7 (Q8_0), but 1 of 2 tensors are Q8_0, with 9 % of the weights in layers; IQ3_S has 91 %, and the whole 3.898"),
    (7, [layer("IQ4_K")], "0 of 1 tensors are Q8_0, with 0 % of the weights in layers; IQ4_K has 100 %"),
    (32, [layer("F16")], "32 (BF16), but 0 of 1"),
    (Q4_K_M, [layer("F16")], "15 (Q4_K), but 0 of 1"), (Q4_K_M, [layer("Q8_0")], "the whole 8.500 bits a weight"),
    (Q4_K_M, [layer("IQ2_XXS")], "the whole 2.062 bits a weight"),
])  # fmt: skip
def test_what_no_quantiser_makes_under_that_name_is_told_with_its_counts(
    file_type: int, tensors: list[Stored], says: str
) -> None:
    (finding,) = found(*tensors, general__file_type=Typed("u32", file_type))
    assert (finding.code, finding.severity, finding.subject) == ("config.conflict", "warning", "general.file_type")
    assert says in finding.message


def test_an_adapter_is_no_model_of_that_type() -> None:
    values = {"general__file_type": Typed("u32", 7), "general__type": Typed("str", "adapter")}
    assert found(layer("F16"), **values) == []


def test_a_part_of_a_split_says_nothing_of_the_whole() -> None:
    assert found(HALF, general__file_type=Typed("u32", 7), split__count=Typed("u16", 2)) == []
