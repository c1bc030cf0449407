"""Between what fits the tensors equally well config.json decides; what it says is taken only where it fits them."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest

from fixtures.geometries import geometry
from tests.tracer.infer.synthetic import inferred, tensors_of
from tracer.infer import Inferred, compare, of_names
from tracer.infer.agreement import decided

SIZES: dict[str, Any] = {
    "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2, "vocab_size": 1000,
}  # fmt: skip


def config_of(heads: int, kv_heads: int, dim: int) -> dict[str, Any]:
    """A Llama of which nobody published the widths."""
    own = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": dim}
    return geometry("llama-3-8b") | SIZES | own


def split(found: Inferred) -> tuple[list[object], set[str]]:
    heads = [field for name in ("num_attention_heads", "num_key_value_heads", "head_dim")
             for field in found.fields if field.name == name]  # fmt: skip
    return [field.value for field in heads], {field.confidence for field in heads}


@pytest.mark.parametrize("heads", [(4, 2, 256), (16, 8, 64), (32, 16, 32), (8, 4, 128)])
def test_the_configs_heads_are_taken_where_their_products_are_the_shapes(heads: tuple[int, int, int]) -> None:
    config = config_of(*heads)
    found = inferred(tensors_of(config), config)
    assert split(found) == (list(heads), {"likely"})
    (evidence,) = {field.evidence for field in found.fields if field.name in ("num_attention_heads", "head_dim")}
    assert evidence.startswith("config.json says so, and the shapes agree: heads x head_dim = 1024")


@pytest.mark.parametrize("config", [None, config_of(4, 4, 256), config_of(4, 2, 128), config_of(0, 0, 0)])
def test_without_a_config_that_fits_a_guess_stays_a_guess(config: dict[str, Any] | None) -> None:
    assert split(inferred(tensors_of(config_of(4, 2, 256)), config)) == ([16, 8, 64], {"guess"})


def test_of_files_that_come_out_with_the_config_its_vocabulary_is_taken(checkpoints: dict[str, Any]) -> None:
    """The file of the embedding is as large as 128,256 words make it; only the index's total counts 128,262."""
    _, config, hidden = checkpoints["reflection-70b-mixed-upload"]
    found = replace(hidden)
    compare(found, config)
    (finding,) = found.findings
    assert (finding.code, finding.severity) == ("index.total-size", "warning")
    assert "vocab_size = 128262 would give" in finding.message and "161 of 162 files come out" in finding.message
    fields = {field.name: field for field in decided(found.fields, found.known, config, found.findings)}
    assert (fields["vocab_size"].value, fields["vocab_size"].confidence) == (128256, "likely")


def test_a_guess_is_no_error_and_is_not_told_to_be_set(checkpoints: dict[str, Any]) -> None:
    _, config, hidden = checkpoints["reflection-70b-mixed-upload"]
    assert hidden.known.limit == "guess"
    found = replace(hidden)
    compare(found, config | {"vocab_size": 128000})
    assert found.findings
    assert {(finding.severity, finding.fix) for finding in found.findings if finding.code == "config.conflict"} <= {
        ("warning", None)
    }  # fmt: skip


def test_a_number_of_heads_that_no_model_has_costs_nothing(checkpoints: dict[str, Any]) -> None:
    _, config, hidden = checkpoints["kimi2-pcl-1t-expansion"]
    start = perf_counter()
    compare(replace(hidden), config | {"num_attention_heads": 10**18})
    assert perf_counter() - start < 2


@pytest.mark.parametrize("name", [
    ".".join(["a", *["1"] * 20_000, "weight"]), ".".join(["model"] * 20_000 + ["weight"]),
    ".".join([*["model.1"] * 10_000, "weight"]),
])  # fmt: skip
def test_a_name_of_tens_of_thousands_of_levels_takes_no_time(name: str) -> None:
    start = perf_counter()
    of_names([name], [])
    assert perf_counter() - start < 0.3


def test_gguf_fields_that_tensors_tell_name_them(checkpoints: dict[str, Any]) -> None:
    told = {field.name: field for field in checkpoints["gguf-llama-2-13b-chat-q8_0"].found.fields}
    assert told["tie_word_embeddings"].evidence.startswith("output.weight (32000, 5120) is stored beside token_embd")
    assert told["vocab_size"].evidence == "token_embd.weight (32000, 5120)"
    assert told["attention_bias"].evidence == "blk.0.attn_q without a bias"
    assert told["hidden_size"].evidence == "keys of llama"


def test_no_count_of_zero_is_certain(checkpoints: dict[str, Any]) -> None:
    told = {field.name: field for field in checkpoints["gguf-nemotron-ultra-253b-deci"].found.fields}
    assert (told["num_attention_heads"].value, told["num_attention_heads"].confidence) == (None, "unknown")
