"""Every cut is tiled by its ranks: legal numbers of ranks by arithmetic and by numpy, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binder
from mappings.params import linear
from mappings.plan import plan
from mappings.proof import prove_ranks
from mappings.proof.ranks import LARGEST_TP, at, legal_sizes
from mappings.registry import choose
from mappings.rows import Row
from mappings.synth import synthesise
from tests.mappings.broken_tables import LAYER, without
from tests.mappings.by_hand import loaded
from tests.mappings.proofs import ILLEGAL, errors, failing, proofs
from tests.mappings.small import CONFIGS, TP_SIZES, architecture, bind

# --- legal sizes ---


def legal_by_hand(c: dict[str, Any]) -> list[int]:
    """Numbers of ranks by the arithmetic of each family: what must divide, what may be shared, what is padded."""
    arch = c["architectures"][0]
    divide: list[int] = []
    heads = c.get("num_attention_heads") or c.get("n_head") or c.get("num_heads") or 0
    kv = c.get("num_kv_heads") or c.get("num_key_value_heads") or heads
    if "Deepseek" in arch:
        kv = heads
        expert = c["moe_intermediate_size"]
        divide += [c["intermediate_size"], expert, expert * c["n_shared_experts"]]
    elif arch == "MambaForCausalLM":
        kv, divide = 0, [c["intermediate_size"]]
    elif arch == "Mamba2ForCausalLM":
        kv, divide = 0, [heads, *([c["n_groups"]] if c["n_groups"] > 1 else [])]
    elif arch in ("GPT2LMHeadModel", "BloomForCausalLM"):
        divide = [4 * (c.get("n_embd") or c.get("n_embed") or c.get("hidden_size") or 0)]
    elif arch == "FalconForCausalLM":
        divide = [4 * c["hidden_size"]]
    else:
        divide = [c["intermediate_size"], *([c["mamba_expand"] * c["hidden_size"]] if arch.startswith("Jamba") else [])]
    divide += [heads] if kv else []
    divide.append(-(-c["vocab_size"] // 64) * 64)
    legal = [tp for tp in range(1, 129) if all(size % tp == 0 for size in divide)]
    legal = [tp for tp in legal if not kv or kv % tp == 0 or tp % kv == 0]
    block = c.get("quantization_config", {}).get("weight_block_size")
    if block:
        rows = [
            heads * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"]), heads * (c["qk_nope_head_dim"] + c["v_head_dim"]),
            heads * c["v_head_dim"], *divide[:3],
        ]  # fmt: skip
        legal = [tp for tp in legal if tp == 1 or all(row // tp % block[0] == 0 for row in rows)]
    return legal


@pytest.mark.parametrize("name", geometries())
def test_the_legal_sizes_of_a_real_geometry_are_those_of_arithmetic(name: str) -> None:
    config = geometry(name)
    assert legal_sizes(choose(config, None, 1, "BF16").binding) == legal_by_hand(config)


def can_be_cut(name: str, tp: int) -> bool:
    """Whether numpy can split the checkpoint by hand."""
    tensors = {t.name: np.zeros(t.shape, dtype=np.int64) for t in synthesise(bind(name))}
    try:
        loaded(CONFIGS[name].config, tensors, tp, 0)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", CONFIGS)
def test_the_legal_sizes_of_a_small_config_are_those_by_which_numpy_can_split_it(name: str) -> None:
    tried = range(1, 21)
    legal = [tp for tp in legal_sizes(bind(name)) if tp in tried]
    assert legal == [tp for tp in tried if can_be_cut(name, tp)]
    assert set(CONFIGS[name].tp) <= set(legal)


def test_legal_sizes_do_not_depend_on_the_size_that_was_asked_for() -> None:
    assert legal_sizes(bind("llama", 7)) == legal_sizes(bind("llama", 1))
    assert max(legal_sizes(bind("llama"))) <= LARGEST_TP


def test_a_binding_at_another_size_is_the_one_bound_there() -> None:
    for tp in TP_SIZES:
        moved, bound = at(bind("llama"), tp), bind("llama", tp)
        assert plan(moved, []).shapes(0) == plan(bound, []).shapes(0)


# --- what cannot be cut ---


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_number_of_ranks_that_does_not_divide_is_refused_with_the_axis_and_the_legal_ones(name: str) -> None:
    for tp, axis in ILLEGAL[name].items():
        binding = choose(geometry(name), None, tp, "BF16").binding
        first, *_ = prove_ranks(binding).findings
        assert (first.code, first.severity) == ("tp.indivisible", "error")
        assert (first.evidence["axis"], first.evidence["tp"]) == (axis, tp)
        assert f"--tp {tp} cannot cut {axis}" in first.message
        assert f"{first.evidence['size']} does not divide by {tp}" in first.message
        assert first.evidence["legal"] == legal_sizes(binding)


def test_every_axis_that_cannot_be_cut_is_listed_once_the_most_frequent_first() -> None:
    found = prove_ranks(bind("llama", 5, num_key_value_heads=16)).findings
    axes = [finding.evidence["axis"] for finding in found]
    assert axes[0] == "ffn", "gate, up and down"
    assert sorted(axes) == ["ffn", "head", "kv", "vocab"]


def test_ranks_a_size_that_does_not_divide() -> None:
    found = proofs(bind("llama", 3))
    assert failing(found) == ["ranks"]
    assert {f.code for f in errors(found)} == {"tp.indivisible"}


def test_ranks_an_interval_that_is_no_box_of_its_groups() -> None:
    """Six heads in two groups of three: three ranks would hold parts of both groups, if KV heads allowed it."""
    arch = architecture("LlamaForCausalLM")
    param = linear(f"{LAYER}.odd", "head.dim, hidden", split="head")
    changed = replace(arch, entries=(*without("_proj")(list(arch.entries)), Row(f"{LAYER}.odd", param)))
    config = {**CONFIGS["llama"].config, "num_attention_heads": 6, "vocab_size": 192}
    found = proofs(Binder(changed, config, 3).bind())
    assert failing(found) == ["ranks"]
    assert "rank 1 would hold parts of several groups" in errors(found)[0].message


def test_copies_of_kv_heads_are_said_and_are_no_fault() -> None:
    found = prove_ranks(bind("llama", 8))
    assert found.holds
    (finding,) = found.findings
    assert (finding.code, finding.severity, finding.evidence["copies"]) == ("tp.kv-replicated", "info", 4)
    assert prove_ranks(bind("llama", 2)).findings == []


# --- quantisation blocks ---


@pytest.mark.parametrize(("block", "legal"), [((4, 2), [1, 2, 4, 8, 16]), ((8, 2), [1, 2, 4, 8]), ((16, 4), [1, 2, 4])])
def test_a_cut_inside_a_quantisation_block_is_refused(block: tuple[int, int], legal: list[int]) -> None:
    """A rank's share of every blocked dimension must be whole blocks."""
    declared = {"quant_method": "fp8", "weight_block_size": list(block)}
    for tp in TP_SIZES:
        binding = bind("deepseek v3 in fp8", tp, quantization_config=declared)
        found = prove_ranks(binding)
        inside = [rows for rows in rows_per_rank(tp) if tp > 1 and rows[0] % block[rows[1]]]
        assert found.holds == (not inside), tp
        assert found.holds == (tp in legal)
        assert {finding.code for finding in found.findings} == ({"tp.quant-group"} if inside else set())


def rows_per_rank(tp: int) -> list[tuple[int, int]]:
    """What a rank has of every cut dimension, and whether it is an output (0) or an input (1)."""
    q_b, kv_b, out, ffn, moe, both = 16 * 8, 16 * 12, 16 * 6, 64, 128, 256
    return [(rows // tp, 0) for rows in (q_b, kv_b, ffn, moe, both)] + [(n // tp, 1) for n in (out, ffn, moe, both)]


def test_a_part_of_a_fused_parameter_must_end_on_a_block_at_any_number_of_ranks() -> None:
    """q and kv of `fused_qkv_a_proj` have scales of their own."""
    for tp in (1, 2):
        (finding,) = prove_ranks(bind("deepseek v3 in fp8", tp, q_lora_rank=30)).findings
        assert (finding.code, finding.evidence["axis"], finding.evidence["size"]) == ("tp.quant-group", "q_rank", 30)
        assert finding.evidence["legal"] == []
    last = bind("deepseek v3 in fp8", qk_rope_head_dim=3, qk_nope_head_dim=5)
    assert prove_ranks(last).holds, "the last part need not"


def test_a_cut_inside_the_only_block_of_a_dimension_is_refused_too() -> None:
    declared = {"quant_method": "fp8", "weight_block_size": [64, 64]}
    found = prove_ranks(bind("deepseek v3 in fp8", 2, quantization_config=declared, intermediate_size=64)).findings
    assert any(f.code == "tp.quant-group" and f.evidence["axis"] == "ffn/64" for f in found)
