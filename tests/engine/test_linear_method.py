"""Storage is a method's business: another one is passed in, layer by layer, and no model knows of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.layers.linear import LinearBase, ReplicatedLinear, RowParallelLinear
from engine.layers.linear_method import UNQUANTIZED, LinearMethod, Weights, weights_loaded
from engine.layers.moe import RoutedExperts
from engine.loading.build import build
from engine.models.contract import CausalLM
from engine.parallel import TensorParallel
from mappings.architectures.llama import OUT
from mappings.plan import LoadPlan
from tests.engine.checkpoints import TOKENS, config_of, ids
from tests.engine.shares import Deaf, binding_of, randomised


class Int8Rows(LinearMethod):
    """Weights only: each row in eight bits, with a scale of its own."""

    def loaded(self, weights: Weights) -> Weights:
        weight = weights["weight"]
        scale = weight.abs().amax(-1, keepdim=True) / 127
        return {"weight": (weight / scale).round().to(torch.int8), "scale": scale}

    def apply(self, weights: Weights, x: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weights["weight"].to(x.dtype) * weights["scale"], bias)


INT8 = Int8Rows()


def all_but_the_head(prefix: str) -> LinearMethod:
    return UNQUANTIZED if prefix.endswith("lm_head") else INT8


def model_of(family: str, method: LinearMethod | None = None) -> CausalLM:
    """Random parameters, loaded; the same for every method."""
    chosen = all_but_the_head if method is INT8 else None
    model = build(LoadPlan(binding_of(config_of(family), 1), [], []), 0, linear_method=chosen).generator()
    for param in model.parameters():
        param.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(param.numel()))
    weights_loaded(model)
    return model


def logits(model: CausalLM) -> Tensor:
    return model.compute_logits(model(ids(), torch.arange(TOKENS)))


def rounded(weight: Tensor) -> Tensor:
    """What is left of a weight (…, outputs, inputs) after eight bits, row by row in plain arithmetic."""
    rows = weight.flatten(0, -2)
    return torch.stack([(127 * row / row.abs().max()).round() * row.abs().max() / 127 for row in rows]).view_as(weight)


def matrices(model: CausalLM) -> Iterator[tuple[str, Tensor]]:
    """The weights that were to be kept otherwise."""
    for prefix, layer in model.named_modules():
        if isinstance(layer, LinearBase | RoutedExperts) and prefix != "lm_head":
            yield from ((f"{prefix}.{leaf}", p) for leaf, p in layer.named_parameters(recurse=False) if p.ndim > 1)


@pytest.mark.parametrize("family", ["llama-biases", "mixtral", "gpt2", "bloom"])
def test_weights_in_eight_bits_compute_what_rounded_ones_do(family: str) -> None:
    plain, packed = model_of(family), model_of(family, INT8)
    exact = logits(plain)
    for _, weight in matrices(plain):
        weight.data = rounded(weight)
    found = logits(packed)
    assert not torch.allclose(found, exact)
    torch.testing.assert_close(found, logits(plain), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", ["llama-tied", "mixtral"])
def test_what_a_method_replaced_takes_no_memory_any_more(family: str) -> None:
    replaced = {name for name, _ in matrices(model_of(family))}
    before = {name for name, _ in model_of(family).named_parameters(remove_duplicate=False)}
    after = {name for name, _ in model_of(family, INT8).named_parameters(remove_duplicate=False)}
    assert before - after == replaced
    assert after and replaced


def test_a_tied_head_may_be_kept_otherwise_than_the_embeddings() -> None:
    binding = binding_of(config_of("llama-tied"), 1)
    model = build(LoadPlan(binding, [], []), 0, linear_method=lambda _: INT8).generator()
    randomised(model)
    table = model.get_parameter("lm_head.weight").clone()
    weights_loaded(model)
    hidden = torch.randn(2, 32, dtype=torch.float64)
    torch.testing.assert_close(model.compute_logits(hidden), F.linear(hidden, rounded(table[:200])))
    assert torch.equal(model.embed_input_ids(ids()), table[ids()])


def test_every_matrix_is_asked_for_by_its_name() -> None:
    asked: list[str] = []

    def ask(prefix: str) -> LinearMethod:
        asked.append(prefix)
        return UNQUANTIZED

    build(LoadPlan(binding_of(config_of("mixtral") | {"num_hidden_layers": 1}, 1), [], []), 0, linear_method=ask)
    attention, moe = "model.layers.0.self_attn", "model.layers.0.block_sparse_moe"
    assert sorted(asked) == sorted(
        [f"{attention}.qkv_proj", f"{attention}.o_proj", f"{moe}.gate", f"{moe}.experts", "lm_head"]
    )


def test_a_method_that_is_given_comes_before_that_of_the_rank() -> None:
    tp = TensorParallel(binding_of(config_of("llama"), 1), linear_method=lambda _: INT8)
    assert ReplicatedLinear(OUT, tp, "out").method is INT8
    assert ReplicatedLinear(OUT, tp, "out", UNQUANTIZED).method is UNQUANTIZED


@pytest.mark.parametrize("method", [UNQUANTIZED, INT8])
def test_a_row_parallel_bias_is_added_once_whatever_the_method(method: LinearMethod) -> None:
    binding = binding_of(config_of("llama-biases"), 2)
    layers = [RowParallelLinear(OUT, TensorParallel(binding, rank, Deaf(2)), "out", method) for rank in range(2)]
    for layer in layers:
        randomised(layer).requires_grad_(False)
        weights_loaded(layer)
    x, bias = torch.randn(3, 32, dtype=torch.float64), layers[0].get_parameter("bias")
    ranks = [layer(half) for layer, half in zip(layers, x.chunk(2, -1), strict=True)]
    parts = [method.apply(layer.weights, half, None) for layer, half in zip(layers, x.chunk(2, -1), strict=True)]
    torch.testing.assert_close(sum(ranks) - bias, parts[0] + parts[1] + bias)


def test_a_scheme_that_no_method_computes_with_is_loaded_and_not_run() -> None:
    scheme = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    made = LoadPlan(binding_of(config_of("llama") | {"quantization_config": scheme}, 1), [], [])
    built = build(made, 0)
    assert "model.layers.0.mlp.down_proj.weight_scale_inv" in built.params
    with pytest.raises(ValueError, match="cannot generate: no linear method computes with weights stored as fp8-block"):
        built.generator()
    assert build(made, 0, linear_method=lambda _: UNQUANTIZED).model is not None
