"""Legal sizes and what a rank holds: against the plan of the mappings, and against figures computed by hand."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binding
from mappings.plan import plan
from mappings.proof.ranks import LARGEST_TP, legal_sizes
from mappings.registry import choose
from mappings.sizes import Sizes
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, LEGAL, bind
from tracer.checkpoint.dtypes import nbytes
from tracer.infer.parallel import Cache, Parallel, estimated, obstacle, rows, sizes, split
from tracer.infer.parallel.cache import windows
from tracer.infer.parallel.experts import Held
from tracer.infer.parallel.rows import field_of
from tracer.infer.parallel.stages import cut


def bound(name: str) -> Binding:
    return choose(geometry(name), None, 1, "BF16").binding


@cache
def of(name: str) -> Parallel:
    return sizes(bound(name))


@cache
def estimate(name: str) -> Parallel:
    """The same model as if it had no rows: its config, and its tensors."""
    tensors = [(t.shape, nbytes(t.dtype, prod(t.shape))) for t in synthesise(bound(name))]
    return estimated(geometry(name), tensors)


# --- tensor parallelism ---


@pytest.mark.parametrize("name", geometries())
def test_legal_sizes_are_those_of_the_proof(name: str) -> None:
    found = of(name)
    assert list(found.tp) == legal_sizes(bound(name))
    assert sorted([*found.tp, *(o.tp for o in found.obstacles)]) == list(range(1, LARGEST_TP + 1))


def test_each_illegal_size_has_its_reason_in_words_of_the_config() -> None:
    reasons = {o.tp: (o.axis, o.reason) for o in of("qwen2-7b").obstacles}
    assert reasons[8] == ("num_attention_heads", "28 does not divide by 8")
    assert reasons[3] == ("num_key_value_heads", "4 does not divide by 3")
    assert reasons[28] == ("intermediate_size", "18944 does not divide by 28")


def test_a_size_that_cuts_a_block_of_the_quantisation_says_so() -> None:
    reasons = {o.tp: (o.axis, o.reason) for o in of("deepseek-v3").obstacles}
    assert reasons[32] == (
        "intermediate_size in blocks of 128", "576 per rank is no multiple of the quantisation block 128"
    )  # fmt: skip


def test_a_product_of_fields_is_told_as_one() -> None:
    assert of("jamba-v0.1").obstacles[0].axis == "mamba_expand * hidden_size"


WITHOUT_HEAD_DIM: dict[str, Any] = {"head_dim": None, "hidden_size": 96}


@pytest.mark.parametrize(
    ("name", "fields"),
    [*((name, {}) for name in CONFIGS), *((name, WITHOUT_HEAD_DIM) for name in CONFIGS if "in gguf" in name)],
)
def test_what_an_axis_is_said_to_be_is_as_long_as_it(name: str, fields: dict[str, Any]) -> None:
    binding = bind(name, **fields)
    for axis in [*binding.arch.axes, *binding.arch.factors]:
        told = field_of(binding, axis)
        if told != axis and axis != "group":  # which is called by the heads that it is a share of
            assert Sizes(binding.arch, binding.config).evaluate(told) == binding.axes.size(axis), (axis, told)


def test_a_head_in_halves_is_told_as_the_whole_of_which_they_are_halves() -> None:
    assert field_of(bind("llama in gguf"), "dim") == "head_dim"
    assert field_of(bind("llama in gguf", **WITHOUT_HEAD_DIM), "dim") == "hidden_size / num_attention_heads"
    assert field_of(bind("llama in gguf", **WITHOUT_HEAD_DIM), "half").endswith(" / 2")
    assert field_of(bind("llama in gguf", head_dim=5), "dim") == "2 * (ceil head_dim / 2)"  # six, and not five


@pytest.mark.parametrize("name", ["llama-3-8b", "qwen2-0.5b", "qwen2-7b", "qwen3-8b", "mixtral-8x7b", "phi-3-mini-4k"])
def test_without_rows_the_same_sizes_are_legal(name: str) -> None:
    assert estimate(name).tp == of(name).tp


# --- weights ---


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_a_ranks_weights_are_the_parameters_of_its_plan(name: str, tp: int) -> None:
    binding = bind(name, tp)
    made = plan(binding, synthesise(binding))
    leaves = dict(made.params())
    of_rank = [
        sum(nbytes(leaves[param].dtype, prod(shape)) for param, shape in made.shapes(rank).items())
        for rank in range(tp)
    ]  # fmt: skip
    assert rows.on_rank(bind(name), tp) == max(of_rank)


@pytest.mark.parametrize("name", geometries())
def test_stages_together_hold_the_model(name: str) -> None:
    """And the embeddings a second time, where the head is tied and on another stage."""
    binding = bound(name)
    embeddings = [leaf for tie in binding.ties if (leaf := binding.leaf(tie.to))]
    tied = sum(nbytes(leaf.dtype, prod(leaf.form(0).shape)) for leaf in embeddings)
    found = sizes(binding)
    assert all(sum(stages.weights) == found.ranks[0].weights + tied for stages in found.stages)


def test_a_published_model_weighs_what_it_weighs() -> None:
    """Llama-3-8B has 8,030,261,248 parameters of two bytes; halved, but for its norms and what is padded: nothing."""
    ranks = {rank.tp: rank.weights for rank in of("llama-3-8b").ranks}
    assert ranks[1] == 2 * 8_030_261_248
    norms = 2 * 65 * 4096
    assert ranks[2] == (ranks[1] - norms) // 2 + norms
    kv = 2 * 2 * 32 * 1024 * 4096
    assert ranks[16] == (ranks[1] - norms - kv) // 16 + norms + kv // 8


@pytest.mark.parametrize("name", ["llama-3-8b", "qwen2-7b", "qwen3-8b", "phi-3-mini-4k", "mixtral-8x7b"])
def test_the_estimate_is_within_a_percent_of_the_plan(name: str) -> None:
    exact = {rank.tp: rank.weights for rank in of(name).ranks if rank.tp <= 8}
    told = {rank.tp: rank.weights for rank in estimate(name).ranks if rank.tp <= 8}
    assert told.keys() == exact.keys()
    assert all(abs(told[tp] - exact[tp]) < 0.01 * exact[tp] for tp in exact)


def test_files_that_hold_far_less_than_the_parameters_take_are_packed() -> None:
    """A 4-bit Llama-3-8B of 5.7 GB, say: ranks share what there is, as they share the parameters."""
    packed, plain = sizes(bound("llama-3-8b"), stored=5_700_000_000), of("llama-3-8b")
    assert "estimate" in packed.source and "in BF16" in plain.source
    for rank, other in zip(packed.ranks, plain.ranks, strict=True):
        assert rank.weights == other.weights * 5_700_000_000 // (2 * 8_030_261_248)
        assert rank.cache == other.cache


@pytest.mark.parametrize("stored", [2 * 8_030_261_248, 2 * 8_030_261_248 - 10**6, 4 * 8_030_261_248, None])
def test_files_that_hold_as_much_or_more_change_nothing(stored: int | None) -> None:
    assert sizes(bound("llama-3-8b"), stored) == of("llama-3-8b")


# --- cache ---


BY_HAND = {
    "llama-3-8b": 2 * 32 * 8 * 128 * 2,
    "deepseek-v3": (512 + 64) * 61 * 2,
    "deepseek-v2-lite": (512 + 64) * 27 * 2,
    "falcon-40b": 2 * 60 * 8 * 64 * 2,
    "gpt2": 2 * 12 * 768 * 2,
    "bloom-560m": 2 * 24 * 1024 * 2,
    "qwen3-0.6b": 2 * 28 * 8 * 128 * 2,
    "jamba-v0.1": 2 * 4 * 8 * 128 * 2,
    "mamba-2.8b": 0,
}  # fmt: skip
"""Bytes a token at tp 1: keys and values x layers x KV heads x head_dim x 2 bytes; latent and rotary key for DeepSeek;
four attention layers of Jamba's 32."""


@pytest.mark.parametrize("name", BY_HAND)
def test_a_token_takes_what_it_takes_by_hand(name: str) -> None:
    assert of(name).ranks[0].cache.per_token == BY_HAND[name]


def test_the_published_figure_of_llama_3_8b() -> None:
    assert of("llama-3-8b").ranks[0].cache.per_token == 131_072


def test_kv_heads_are_divided_until_there_is_one_and_then_held_several_times() -> None:
    found = {rank.tp: (rank.cache.per_token, rank.kv_copies) for rank in of("llama-3-8b").ranks}
    assert found == {
        1: (131_072, 1), 2: (65_536, 1), 4: (32_768, 1), 8: (16_384, 1), 16: (16_384, 2), 32: (16_384, 4)
    }  # fmt: skip


def test_latent_attention_keeps_the_same_on_every_rank() -> None:
    assert {rank.cache.per_token for rank in of("deepseek-v3").ranks} == {70_272}
    assert all(rank.cache.latent for rank in of("deepseek-v3").ranks)


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    """gpt-oss: every other layer sees 128 tokens; Mistral's first version: every layer 4096."""
    each = 2 * 8 * 64 * 2
    assert of("gpt-oss-20b").ranks[0].cache == Cache(12 * each, ((128, 12 * each),))
    mistral = of("mistral-7b-v0.1").ranks[0].cache
    assert mistral == Cache(0, ((4096, 131_072),))
    assert mistral.of(1_000_000) == mistral.of(4096) == 4096 * 131_072


def test_a_state_space_layer_keeps_the_same_whatever_the_length() -> None:
    """Mamba-2.8B: of 5120 channels the last 3 inputs of the convolution, and 16 numbers of state."""
    cache = of("mamba-2.8b").ranks[0].cache
    assert cache.per_sequence == 64 * 5120 * (3 + 16) * 2
    assert cache.of(10) == cache.of(1_000_000)
    assert cache.tokens(cache.per_sequence) == Cache.UNBOUNDED


def test_mamba_2_keeps_its_groups_too() -> None:
    """80 heads of 64, one group of 128 states: 5120 + 2 x 128 channels convolved, 5120 x 128 numbers of state."""
    cache = of("mamba2-2.7b").ranks[0].cache
    assert cache.per_sequence == 64 * ((5120 + 256) * 3 + 5120 * 128) * 2


@pytest.mark.parametrize("name", ["llama-3-8b", "deepseek-v3", "deepseek-v2", "mistral-7b-v0.1", "qwen2-7b", "gpt2"])
def test_without_rows_the_cache_is_the_same(name: str) -> None:
    exact = {rank.tp: rank.cache for rank in of(name).ranks}
    told = {rank.tp: rank.cache for rank in estimate(name).ranks}
    assert exact.keys() <= told.keys()
    assert all(told[tp] == exact[tp] for tp in exact)


@given(st.integers(0, 1 << 20), st.integers(0, 1 << 16), st.integers(1, 5000), st.integers(0, 1 << 24),
       st.integers(0, 1 << 38))  # fmt: skip
def test_what_fits_fits_and_one_token_more_does_not(each: int, short: int, window: int, state: int, free: int) -> None:
    cache = Cache(each, ((window, short),), state)
    tokens = cache.tokens(free)
    if cache.of(0) > free:
        assert tokens == 0
    else:
        assert cache.of(tokens) <= free
        assert tokens == Cache.UNBOUNDED or cache.of(tokens + 1) > free


def test_tokens_fit_into_what_the_weights_leave() -> None:
    """90 % of 80 GB, less the weights, at 131,072 bytes a token."""
    rank = of("llama-3-8b").ranks[0]
    assert rank.tokens(80) == (72_000_000_000 - 2 * 8_030_261_248) // 131_072
    assert rank.tokens(16) is None


@pytest.mark.parametrize(
    ("fields", "having"),
    [
        ({}, []), ({"sliding_window": None}, []), ({"sliding_window": 8, "use_sliding_window": False}, []),
        ({"sliding_window": 8}, [0, 1, 2, 3, 4, 5]), ({"sliding_window": 8, "sliding_window_pattern": 3}, [0, 1, 3, 4]),
        ({"sliding_window": 8, "model_type": "gemma2"}, [0, 2, 4]),
        ({"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 4}, [4, 5]),
        ({"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"] * 3}, [1, 3, 5]),
        ({"sliding_window": True}, []), ({"sliding_window": "8"}, []),
    ],
)  # fmt: skip
def test_which_layers_have_a_window_is_told_in_five_ways(fields: dict[str, Any], having: list[int]) -> None:
    assert sorted(windows(fields, 6)[1]) == having


# --- pipelines ---


@pytest.mark.parametrize(
    ("layers", "pp", "stages"),
    [(61, 2, (31, 30)), (61, 4, (15, 15, 16, 15)), (20, 3, (7, 7, 6)), (22, 4, (5, 6, 6, 5)), (8, 8, (1,) * 8)],
)
def test_what_does_not_divide_goes_before_the_last_stage(layers: int, pp: int, stages: tuple[int, ...]) -> None:
    assert split(layers, pp) == stages


@given(st.integers(1, 300), st.data())
def test_every_layer_is_on_one_stage_and_none_is_empty(layers: int, data: st.DataObject) -> None:
    pp = data.draw(st.integers(1, layers))
    stages = split(layers, pp)
    assert (len(stages), sum(stages)) == (pp, layers)
    assert max(stages) - min(stages) <= 1
    assert stages[-1] == min(stages)


@pytest.mark.parametrize("pp", [0, 5])
def test_a_stage_without_a_layer_is_refused(pp: int) -> None:
    with pytest.raises(ValueError, match="4 layers"):
        split(4, pp)


def test_the_fullest_stage_and_the_balance_are_told() -> None:
    stages = cut([10, 10, 10, 10], before=20, after=0, pp=2)
    assert (stages.weights, stages.balance) == ((40, 20), 0.75)
    assert "2 + 2 layers, evenly; the fullest is stage 1" in stages.line()


# --- experts ---


def test_whole_experts_go_to_the_ranks_and_the_first_have_one_more() -> None:
    assert Held(3, 256, 0).each == (86, 85, 85)
    assert obstacle(256, 8) is None
    assert obstacle(256, 3) == "256 experts do not divide by 3: ranks would have 86 and 85"
    assert obstacle(8, 16) == "8 experts on 16 ranks: 8 of them would have none"


def test_expert_sizes_divide_the_experts_and_their_bytes() -> None:
    """Mixtral-8x7B: 32 layers of 8 experts, three matrices of 14336 x 4096 of two bytes."""
    found = of("mixtral-8x7b").experts
    assert [held.ep for held in found] == [1, 2, 4, 8]
    assert found[3].bytes == 32 * 3 * 14336 * 4096 * 2


def test_a_dense_model_has_no_experts() -> None:
    assert of("llama-3-8b").experts == ()


# --- print ---


def test_the_lines_say_what_is_legal_why_not_and_what_a_rank_holds() -> None:
    lines = list(of("llama-3-8b").lines())
    assert lines[0] == "--tp: 1, 2, 4, 8, 16, 32 (judged up to 128)"
    assert "  not 64, 128: num_attention_heads (64: 32 does not divide by 64, and so on)" in lines
    told = next(line for line in lines if line.startswith("  tp 8:"))
    assert told.startswith("  tp 8: 2.01 GB of weights, 16,384 bytes of KV cache a token; tokens that fit 24 GB: ")
    assert "--pp: 1..32" in lines


def test_weights_that_do_not_fit_are_said_not_to() -> None:
    assert any("24 GB: not even the weights" in line for line in of("deepseek-v3").lines())


def test_next_to_no_fields_still_give_an_answer() -> None:
    found = estimated({"vocab_size": 1000}, [])
    assert found.ranks == () and found.experts == ()
    assert list(found.lines())


@pytest.mark.parametrize("field", [
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "vocab_size",
    "num_experts", "kv_lora_rank", "sliding_window",
])  # fmt: skip
@pytest.mark.parametrize("value", [10**8, 10**18, 10**4000])
def test_numbers_that_no_model_has_cost_nothing(field: str, value: int) -> None:
    """Layers are listed one by one, so that a config could ask for all memory; and a line has an end."""
    fields = {
        "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16, "sliding_window": 4,
        "use_sliding_window": True,
    }  # fmt: skip
    found = estimated(fields | {field: value}, [((64, 16), 2048), ((16,), 32)], 1000)
    assert all(len(line) < 300 for line in found.lines())


def test_a_window_cannot_begin_before_the_first_layer() -> None:
    fields = {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": -3}
    assert sorted(windows(fields, 2)[1]) == [0, 1]
