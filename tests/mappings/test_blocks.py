"""Blocks of quantised tensors: placed by elements like any others, and never cut inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fixtures.geometries import geometry
from mappings.architectures import gguf
from mappings.architectures.llama import DOWN
from mappings.findings import Finding
from mappings.ggml import BLOCKS
from mappings.plan import LoadPlan, plan
from mappings.proof import findings, prove
from mappings.registry import choose
from mappings.rows import Row
from mappings.synth import Synthetic, synthesise

NAMES = ["token_embd.weight"]


def is_matrix(tensor: Synthetic) -> bool:
    return len(tensor.shape) > 1


def planned(dtype: str, tp: int, where: Callable[[Synthetic], bool] = is_matrix, **fields: Any) -> LoadPlan:
    """Two layers of Llama-3-8B in GGUF; the tensors of `where` are stored in blocks."""
    config = {**geometry("llama-3-8b"), "num_hidden_layers": 2, **fields}
    binding = choose(config, NAMES, tp, "F16").binding
    tensors = [t._replace(dtype=dtype) if where(t) else t for t in synthesise(binding)]
    return plan(binding, tensors)


def errors(made: LoadPlan) -> list[Finding]:
    return [f for f in findings(prove(made, None)) if f.severity == "error"]


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", BLOCKS)
def test_a_cut_between_blocks_is_no_error(dtype: str, tp: int) -> None:
    assert errors(planned(dtype, tp)) == []


def test_a_cut_inside_blocks_names_the_tensor_and_the_legal_sizes() -> None:
    """14336 / 16 = 896 = 3.5 x 256, and as many elements of o_proj: 4096 / 16 = 256."""
    first = errors(planned("Q4_K", 16, num_key_value_heads=16))
    assert [(f.code, f.subject) for f in first] == [("tp.quant-group", "blk.{0, 1}.ffn_down.weight")]
    assert "--tp 16 cuts blk.{0, 1}.ffn_down.weight inside Q4_K blocks: 896 elements" in first[0].message
    assert first[0].evidence["legal"] == [1, 2, 4, 8]
    assert first[0].fix == "legal sizes up to 128: 1, 2, 4, 8"


def test_the_size_of_the_block_decides() -> None:
    assert errors(planned("Q8_0", 16, num_key_value_heads=16)) == []


@pytest.mark.parametrize("tp", [2, 16, 32])
def test_rows_are_cut_wherever_they_end(tp: int) -> None:
    """Everything but the two that are cut along their inputs."""
    def outputs(tensor: Synthetic) -> bool:
        return is_matrix(tensor) and "ffn_down" not in tensor.name and "attn_output" not in tensor.name

    assert errors(planned("Q4_K", tp, outputs)) == []


def test_an_illegal_cut_is_said_instead() -> None:
    assert {f.code for f in errors(planned("Q4_K", 3))} == {"tp.indivisible"}


def test_where_no_size_is_legal_the_whole_is() -> None:
    made = planned("Q4_K", 2, intermediate_size=256)
    assert [f.evidence["legal"] for f in errors(made)] == [[1]]


def test_data_types_that_nobody_explains_are_still_missing_their_scales() -> None:
    assert {f.code for f in errors(planned("I8", 1))} == {"quant.missing"}


def test_rows_that_are_no_bijection_are_left_to_the_proof_that_says_so() -> None:
    """There are no slices then that could be looked at."""
    own = Row("blk.{layer}.ffn_down", DOWN, "hidden, hidden")
    entries = tuple(own if getattr(e, "name", "") == own.name else e for e in gguf.LLAMA.entries)
    arch = replace(gguf.LLAMA, entries=entries)
    binding = choose(geometry("llama-3-8b"), NAMES, 2, "F16", [arch]).binding
    tensors = [t._replace(dtype="Q4_K") if is_matrix(t) else t for t in synthesise(binding)]
    assert {f.code for f in errors(plan(binding, tensors))} == {"mapping.axes"}
