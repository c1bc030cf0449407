"""Layers one by one: fused against separate, shares against the whole, names and shapes against the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from engine.dtypes import TORCH
from engine.layers.activation import BY_NAME, SiluAndMul, act_and_mul, activation
from engine.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from engine.layers.leaves import under
from engine.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from engine.layers.norm import RMSNorm
from engine.loading.loader import Loader
from engine.loading.recorder import NullRecorder
from engine.models import registry
from engine.parallel import TensorParallel
from fixtures.geometries import geometry, names
from mappings.architectures.llama import EMBED, FINAL_NORM, GATE_UP, HEAD, OUT, QKV
from mappings.bind import Binding
from mappings.plan import LoadPlan, plan
from tests.engine.checkpoints import FAMILIES, SIZES, VOCABULARY, config_of, empty_model
from tests.engine.memory import Memory
from tests.engine.shares import Deaf, binding_of, randomised, shares


def separate_projections() -> Memory:
    """Llama's first layer as checkpoints store it: q, k, v, gate and up apart, with biases."""
    torch.manual_seed(1)
    hidden, ffn = SIZES["hidden_size"], SIZES["intermediate_size"]
    outs = {"self_attn.q": 32, "self_attn.k": 16, "self_attn.v": 16, "mlp.gate": ffn, "mlp.up": ffn}
    tensors = {}
    for name, out in outs.items():
        tensors[f"model.layers.0.{name}_proj.weight"] = torch.randn(out, hidden, dtype=torch.float64)
        tensors[f"model.layers.0.{name}_proj.bias"] = torch.randn(out, dtype=torch.float64)
    return Memory(tensors)


def first_blocks(memory: Memory, tp: int) -> list[Any]:
    """The first block of every rank, as far as the tensors reach."""
    config = config_of("llama-biases") | {"num_hidden_layers": 1}
    made = plan(binding_of(config, tp), memory.header)
    models = [empty_model(made.binding, rank, Deaf(tp)) for rank in range(tp)]
    for rank, model in enumerate(models):
        Loader(made, rank, memory, NullRecorder()).load(dict(model.named_parameters()))
    return [model.get_submodule("model.layers.0") for model in models]


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_fused_projections_equal_separate_ones_to_1e_12_in_float64(tp: int) -> None:
    """Two KV heads: with four ranks, each is held by two of them."""
    memory = separate_projections()
    x = torch.randn(5, SIZES["hidden_size"], dtype=torch.float64)
    apart = {
        name: F.linear(x, memory.tensors[f"model.layers.0.{name}_proj.weight"],
                       memory.tensors[f"model.layers.0.{name}_proj.bias"])
        for name in ("self_attn.q", "self_attn.k", "self_attn.v", "mlp.gate", "mlp.up")
    }  # fmt: skip
    ranks = first_blocks(memory, tp)
    fused = [rank.self_attn.qkv_proj(x) for rank in ranks]
    for part, name in enumerate(("self_attn.q", "self_attn.k", "self_attn.v")):
        once = fused if part == 0 else fused[:: max(1, tp // 2)]
        found = torch.cat([outputs[part].flatten(1) for outputs in once], dim=-1)
        torch.testing.assert_close(found, apart[name], atol=1e-12, rtol=0)
    halves = [rank.mlp.gate_up_proj(x).chunk(2, dim=-1) for rank in ranks]
    for part, name in enumerate(("mlp.gate", "mlp.up")):
        found = torch.cat([half[part] for half in halves], dim=-1)
        torch.testing.assert_close(found, apart[name], atol=1e-12, rtol=0)


def test_ranks_that_share_a_kv_head_hold_the_same_one() -> None:
    weights = [block.self_attn.qkv_proj.weight for block in first_blocks(separate_projections(), 4)]
    assert [weight.shape for weight in weights] == [(3 * 8, 32)] * 4
    assert torch.equal(weights[0][8:], weights[1][8:])
    assert torch.equal(weights[2][8:], weights[3][8:])
    assert not torch.equal(weights[1][8:], weights[2][8:])


def cuts(configs: dict[str, dict[str, Any]], *sizes: int) -> list[tuple[str, int]]:
    """Every config with every number of ranks that divides its heads."""
    heads = {name: config.get("num_attention_heads") or config["n_head"] for name, config in configs.items()}
    return [(name, tp) for name in configs for tp in sizes if heads[name] % tp == 0]


TINY = {name: config_of(name) for name in FAMILIES}
KNOWN = {name: geometry(name) for name in names() if geometry(name)["architectures"][0] in registry.MODELS}


@pytest.mark.parametrize(("family", "tp"), cuts(TINY, 1, 2, 4))
def test_parameters_are_those_of_the_plan(family: str, tp: int) -> None:
    assert_as_planned(binding_of(TINY[family], tp, "BF16"))


@pytest.mark.parametrize(("name", "tp"), cuts(KNOWN, 1, 2, 8))
def test_parameters_of_well_known_models_are_those_of_the_plan(name: str, tp: int) -> None:
    assert_as_planned(binding_of(KNOWN[name], tp, "BF16"))


@pytest.mark.parametrize("tp", [1, 2])
@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_parameters_include_the_scales_of_a_quantisation_scheme(family: str, tp: int) -> None:
    scheme = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    assert_as_planned(binding_of(TINY[family] | {"quantization_config": scheme}, tp, "BF16"))


def assert_as_planned(binding: Binding) -> None:
    """Names, shapes and types on every rank; on the meta device, where nothing can be read."""
    made = LoadPlan(binding, [], [])
    types = {name: TORCH[leaf.dtype] for name, leaf in made.params()}
    for rank in range(binding.tp):
        model = empty_model(binding, rank, Deaf(binding.tp), "meta")
        params = dict(model.named_parameters())
        assert {name: tuple(param.shape) for name, param in params.items()} == made.shapes(rank)
        assert {name: param.dtype for name, param in params.items()} == types
        assert {param.device.type for param in params.values()} == {"meta"}
        assert list(model.named_buffers()) == []


@pytest.mark.parametrize("prefix", ["", "language_model"])
@pytest.mark.parametrize(("family", "tp"), cuts(TINY, 1, 2))
def test_a_layer_knows_the_names_of_its_parameters(family: str, tp: int, prefix: str) -> None:
    """What it was told, what the modules around it are called, and what the plan says: three sources."""
    binding = binding_of(TINY[family], tp, "BF16")
    outer, told = nn.Module(), set()
    model = type(empty_model(binding))(binding.config, TensorParallel(binding, tp - 1, Deaf(tp), "meta"), prefix)
    outer.register_module(prefix or "m", model)
    for name, layer in outer.named_modules():
        own = getattr(layer, "prefix", None)
        if layer is not model and own is not None:
            assert own == (name if prefix else name.removeprefix("m."))
            told |= {f"{own}.{leaf}" for leaf, _ in layer.named_parameters(recurse=False)}
    made = LoadPlan(binding, [], [])
    assert told == {under(prefix, name) for name in {*made.shapes(0), *made.tied()}}


@pytest.mark.parametrize("family", ["llama-tied", "qwen2-tied", "gpt2", "bloom"])
def test_a_tied_head_is_the_table_of_the_embeddings(family: str) -> None:
    model = empty_model(binding_of(config_of(family), 1))
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    assert every - {name for name, _ in model.named_parameters()} == {"lm_head.weight"}
    assert model.get_parameter("lm_head.weight") is next(model.parameters())


@pytest.mark.parametrize("tp", [2, 4])
def test_the_shares_of_an_embedding_add_up(tp: int) -> None:
    """Each id is some rank's; the others add zeros, also those whose rows are mostly padding."""
    table = torch.randn(VOCABULARY, SIZES["hidden_size"], dtype=torch.float64)
    ids, total = torch.arange(VOCABULARY), torch.zeros_like(table)
    for tp_of_rank in shares(config_of("llama"), tp):
        layer = VocabParallelEmbedding(EMBED, tp_of_rank, "embed")
        assert layer.weight.shape[0] == 256 // tp
        layer.weight.data.fill_(float("inf"))
        layer.weight.data[: layer.stop - layer.start] = table[layer.start : layer.stop]
        total += layer(ids)
    assert torch.equal(total, table)


def test_padding_never_becomes_a_logit() -> None:
    (tp,) = shares(config_of("llama"), 1)
    head = ParallelLMHead(HEAD, tp, "lm_head")
    randomised(head).get_parameter("weight").data[VOCABULARY:] = float("inf")
    x = torch.randn(3, SIZES["hidden_size"], dtype=torch.float64)
    assert torch.equal(head(x), F.linear(x, head.weight[:VOCABULARY]))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(BY_NAME)), arrays(np.float64, (3, 8), elements=st.floats(-9, 9)))
def test_a_gated_activation_takes_its_gate_from_the_first_half(name: str, values: NDArray[np.float64]) -> None:
    x = torch.from_numpy(values)
    gate, up = x[:, :4], x[:, 4:]
    torch.testing.assert_close(act_and_mul(name)(x), activation(name)(gate) * up)
    torch.testing.assert_close(SiluAndMul()(x), gate * torch.sigmoid(gate) * up)
    assert torch.equal(x, torch.from_numpy(values))


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 2**-8)])
def test_an_rms_norm_is_its_formula_to_one_rounding(dtype: torch.dtype, allowed: float) -> None:
    (tp,) = shares(config_of("llama"), 1)
    norm = randomised(RMSNorm(FINAL_NORM, tp, "norm", 1e-3)).to(dtype)
    x = torch.randn(7, SIZES["hidden_size"]).to(dtype)
    wide = x.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-3).sqrt() * norm.get_parameter("weight").double()
    torch.testing.assert_close(norm(x).double(), expected, rtol=allowed, atol=0)


def test_a_row_parallel_bias_is_added_after_the_sum() -> None:
    """A rank that hears two others like itself: three products, one bias."""

    class Tripled(Deaf):
        def all_reduce(self, x: Tensor) -> Tensor:
            return 3 * x

    layer = RowParallelLinear(OUT, TensorParallel(binding_of(config_of("llama-biases"), 1), group=Tripled(3)), "out")
    randomised(layer)
    x = torch.randn(2, layer.weight.shape[1], dtype=torch.float64)
    assert layer.bias is not None
    torch.testing.assert_close(layer(x), 3 * F.linear(x, layer.weight) + layer.bias)


@pytest.mark.parametrize(("tp", "heads", "kv_heads"), [(1, 4, 2), (2, 2, 1), (4, 1, 1)])
def test_local_heads_follow_from_the_binding(tp: int, heads: int, kv_heads: int) -> None:
    for own in shares(config_of("llama"), tp):
        layer = QKVParallelLinear(QKV, own, "qkv")
        assert (layer.heads, layer.kv_heads, layer.dim) == (heads, kv_heads, 8)
        assert MergedColumnParallelLinear(GATE_UP, own, "gate_up").widths == (48 // tp, 48 // tp)


def test_a_layer_without_a_parameter_says_which() -> None:
    from mappings.architectures.gpt2 import POSITIONS

    with pytest.raises(LookupError, match=r"LlamaForCausalLM has no parameter transformer\.wpe\.weight"):
        VocabParallelEmbedding(POSITIONS, TensorParallel(binding_of(config_of("llama"), 1)), "wpe")
