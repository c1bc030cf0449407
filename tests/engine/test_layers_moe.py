"""Experts: each token by itself, whoever shares its pass; and only those experts that somebody chose."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from engine.layers.linear_method import UNQUANTIZED, groupable, grouped
from engine.layers.moe import FusedMoE, by_expert, route
from engine.parallel import TensorParallel
from mappings.architectures.gpt_oss import W13 as WITH_BIAS
from mappings.architectures.mixtral import W2, W13
from tests.engine.checkpoints import config_of
from tests.engine.shares import Deaf, binding_of

HIDDEN, FFN, EXPERTS = 32, 48, 5
few = settings(max_examples=20, deadline=None)


@cache
def layer_of(top_k: int, dtype: str = "F64", tp: int = 1, rank: int = 0, device: str = "cpu") -> FusedMoE:
    """One rank's experts, filled with its share of the same weights."""
    binding = binding_of(config_of("mixtral") | {"num_local_experts": EXPERTS}, tp, dtype)
    layer = FusedMoE(W13, W2, TensorParallel(binding, rank, Deaf(tp), device), "moe", top_k)
    w1, w3, w2 = (weight.chunk(tp, dim)[rank] for weight, dim in zip(weights(), (1, 1, 2), strict=True))
    layer.get_parameter("routed_experts.w13_weight").data.copy_(torch.cat((w1, w3), 1))
    layer.get_parameter("routed_experts.w2_weight").data.copy_(w2)
    return layer


@cache
def weights() -> tuple[Tensor, Tensor, Tensor]:
    """w1 and w3 (experts, ffn, hidden), w2 (experts, hidden, ffn), float64."""
    draw = torch.Generator().manual_seed(5)
    shapes = ((EXPERTS, FFN, HIDDEN), (EXPERTS, FFN, HIDDEN), (EXPERTS, HIDDEN, FFN))
    w1, w3, w2 = (torch.randn(shape, generator=draw, dtype=torch.float64) / 6 for shape in shapes)
    return w1, w3, w2


def plain(x: Tensor, scores: Tensor, top_k: int) -> Tensor:
    """One token after the other, one expert after the other (Jiang et al. 2024, section 2.1)."""
    w1, w3, w2 = weights()
    out = torch.zeros_like(x)
    for token, own in enumerate(scores):
        best = own.argsort(descending=True)[:top_k]
        for share, expert in zip(torch.softmax(own[best], 0), best.tolist(), strict=True):
            inner = F.silu(w1[expert] @ x[token]) * (w3[expert] @ x[token])
            out[token] += share * (w2[expert] @ inner)
    return out


@st.composite
def passes(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Tokens, scores without ties, and how many experts each chooses; often all tokens choose the same ones."""
    tokens, top_k = draw(st.integers(1, 6)), draw(st.integers(1, EXPERTS))
    orders = [draw(st.permutations(range(EXPERTS)))] * tokens if draw(st.booleans()) else [
        draw(st.permutations(range(EXPERTS))) for _ in range(tokens)
    ]  # fmt: skip
    x = torch.randn(tokens, HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(tokens))
    return x, torch.tensor(orders, dtype=torch.float64) / 3, top_k


@few
@given(passes())
def test_it_is_what_one_token_after_the_other_gives(given: tuple[Tensor, Tensor, int]) -> None:
    x, scores, top_k = given
    torch.testing.assert_close(layer_of(top_k)(x, scores), plain(x, scores, top_k), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "allowed"), [("F64", 1e-13), ("F32", 1e-5)])
@few
@given(given=passes())
def test_who_shares_a_pass_does_not_matter(dtype: str, allowed: float, given: tuple[Tensor, Tensor, int]) -> None:
    x, scores, top_k = given
    layer = layer_of(top_k, dtype)
    own = layer.get_parameter("routed_experts.w2_weight").dtype
    together = layer(x.to(own), scores.to(own))
    alone = torch.cat([layer(x[[i]].to(own), scores[[i]].to(own)) for i in range(len(x))])
    torch.testing.assert_close(together, alone, rtol=0, atol=allowed)


@pytest.mark.parametrize("tp", [2, 4])
@few
@given(given=passes())
def test_the_shares_of_the_ranks_add_up(tp: int, given: tuple[Tensor, Tensor, int]) -> None:
    x, scores, top_k = given
    ranks = [layer_of(top_k, tp=tp, rank=rank)(x, scores) for rank in range(tp)]
    torch.testing.assert_close(torch.stack(ranks).sum(0), plain(x, scores, top_k), rtol=0, atol=1e-12)


@few
@given(passes())
def test_an_expert_that_nobody_chose_is_not_read(given: tuple[Tensor, Tensor, int]) -> None:
    x, scores, top_k = given
    layer = deepcopy(layer_of(top_k))
    idle = sorted(set(range(EXPERTS)) - set(route(scores, top_k)[1].flatten().tolist()))
    for name in ("w13_weight", "w2_weight"):
        layer.get_parameter(f"routed_experts.{name}").data[idle] = float("nan")
    assert layer(x, scores).isfinite().all()


@few
@given(passes())
def test_places_are_sorted_by_expert_and_stay_in_order(given: tuple[Tensor, Tensor, int]) -> None:
    _, scores, top_k = given
    chosen = route(scores, top_k)[1]
    order, ends = by_expert(chosen, EXPERTS)
    flat = cast("list[int]", chosen.flatten().tolist())
    assert order.tolist() == sorted(range(len(flat)), key=flat.__getitem__)
    assert ends.tolist() == [sum(own <= expert for own in flat) for expert in range(EXPERTS)]
    assert ends.dtype == torch.int32


def test_the_chosen_experts_share_a_weight_of_one() -> None:
    shares, experts = route(torch.tensor([[0.0, 3.0, 1.0, 2.0]]), 2)
    assert experts.tolist() == [[1, 3]]
    torch.testing.assert_close(shares, torch.softmax(torch.tensor([[3.0, 2.0]]), -1))


@few
@given(passes())
def test_one_kernel_for_all_experts_equals_one_call_each(given: tuple[Tensor, Tensor, int]) -> None:
    x, scores, top_k = given
    order, ends = by_expert(route(scores, top_k)[1], EXPERTS)
    rows, stack = x.float()[order // top_k], weights()[0].float()
    found, expected = grouped(stack, rows, ends), UNQUANTIZED.experts({"weight": stack}, rows, ends)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_one_kernel_is_for_what_it_can_compute() -> None:
    assert groupable(torch.empty(2, 48, 32, dtype=torch.bfloat16))
    assert not groupable(torch.empty(2, 48, 32))
    assert not groupable(torch.empty(2, 44, 32, dtype=torch.bfloat16))


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 7, 300])
def test_on_a_gpu_it_is_the_same(tokens: int) -> None:
    draw = torch.Generator().manual_seed(tokens)
    x, scores = (torch.randn(tokens, size, generator=draw).bfloat16() for size in (HIDDEN, EXPERTS))
    found = layer_of(2, "BF16", device="cuda")(x.cuda(), scores.cuda()).cpu().double()
    torch.testing.assert_close(found, plain(x.double(), scores.double(), 2), rtol=0.05, atol=0.02)


def test_biases_that_nothing_would_add_are_refused() -> None:
    tp = TensorParallel(binding_of(config_of("mixtral") | {"architectures": ["GptOssForCausalLM"]}, 1))
    with pytest.raises(ValueError, match=r"moe\.routed_experts: there is .*w13_bias, and experts add no biases here"):
        FusedMoE(WITH_BIAS, replace(W2, name=WITH_BIAS.name.replace("w13", "w2")), tp, "moe", 2)
