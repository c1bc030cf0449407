"""A plan's moves, element by element: against numpy said by hand, and against what is declared to be copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from math import prod
from typing import NamedTuple

import numpy as np
import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings.bind import Binding, BoundRow
from mappings.plan import LoadPlan, Step, plan
from mappings.proof.ranks import legal_sizes
from mappings.registry import choose
from mappings.shards import replicas
from mappings.synth import Synthetic, synthesise
from mappings.views import Ranges, Shape
from tests.mappings.by_hand import LOADERS, Ids, loaded
from tests.mappings.small import CONFIGS, LEGAL, TP_SIZES, bind


class Moved(NamedTuple):
    """What one rank has after its moves and fills, and how often each element was written."""

    params: dict[str, Ids]
    written: dict[str, Ids]


def numbered(shapes: Mapping[str, Shape]) -> dict[str, Ids]:
    """A number of its own for every element of every tensor, from 1."""
    found, first = {}, 1
    for name, shape in shapes.items():
        found[name] = np.arange(first, first + prod(shape), dtype=np.int64).reshape(shape)
        first += prod(shape)
    return found


def slices(ranges: Ranges) -> tuple[slice, ...]:
    return tuple(slice(*r) for r in ranges)


def moved(made: LoadPlan, tensors: Mapping[str, Ids], rank: int) -> Moved:
    """The plan by the rule of the trace format: `param[dst] = tensor[src]`, permuted, then reshaped."""
    params = {name: np.full(shape, -1, dtype=np.int64) for name, shape in made.shapes(rank).items()}
    written = {name: np.zeros(array.shape, dtype=np.int64) for name, array in params.items()}
    for step in made.steps(rank):
        source = tensors[made.tensors[step.tensor].name]
        for box in made.boxes(step):
            block = source[slices(box.src)]
            block = block if box.perm is None else block.transpose(box.perm)
            landing = params[step.param][slices(box.dst)]
            params[step.param][slices(box.dst)] = block.reshape(landing.shape)
            written[step.param][slices(box.dst)] += 1
    for pad, name in made.pads(rank):
        for ranges in made.ranges(pad):
            params[name][slices(ranges)] = int(pad.value)
            written[name][slices(ranges)] += 1
    return Moved(params, written)


class Load(NamedTuple):
    """A whole load: the plan, the numbered checkpoint, and what every rank has in the end."""

    made: LoadPlan
    tensors: dict[str, Ids]
    ranks: list[Moved]


@cache
def load(name: str, tp: int) -> Load:
    binding = bind(name, tp)
    made = plan(binding, synthesise(binding))
    tensors = numbered({tensor.name: tensor.shape for tensor in made.tensors})
    return Load(made, tensors, [moved(made, tensors, rank) for rank in range(tp)])


def reads(tensors: Mapping[str, Ids], held: list[Ids]) -> dict[str, Ids]:
    """How often each element of each tensor is among the arrays held."""
    last = max(int(array.max()) for array in tensors.values())
    counts = np.bincount(np.concatenate([array.ravel() for array in held]), minlength=last + 1)
    return {name: counts[array] for name, array in tensors.items()}


def test_every_architecture_is_told_by_hand() -> None:
    assert {small.arch.partition("/")[0] for small in CONFIGS.values()} == set(LOADERS)


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_every_element_of_every_parameter_is_written_exactly_once(name: str, tp: int) -> None:
    for rank, found in enumerate(load(name, tp).ranks):
        for param, times in found.written.items():
            assert np.all(times == 1), f"{param} on rank {rank}"


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_every_parameter_is_what_numpy_makes_of_the_checkpoint(name: str, tp: int) -> None:
    _, tensors, ranks = load(name, tp)
    for rank, found in enumerate(ranks):
        expected = loaded(CONFIGS[name].config, tensors, tp, rank)
        assert found.params.keys() == expected.keys()
        for param, array in expected.items():
            assert np.array_equal(found.params[param], array), f"{param} on rank {rank}"


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_every_stored_element_is_read_as_often_as_its_cut_declares(name: str, tp: int) -> None:
    made, tensors, ranks = load(name, tp)
    counted = reads(tensors, [array for found in ranks for array in found.params.values()])
    for position, claim in enumerate(made.claims):
        assert isinstance(claim.owner, BoundRow)
        tensor = made.tensors[position].name
        assert Counter(counted[tensor].ravel().tolist()) == declared(claim.owner, made.binding), tensor


def declared(row: BoundRow, binding: Binding) -> Counter[int]:
    """How many elements of a tensor are to be read how often."""
    times: Counter[int] = Counter()
    for part in row.parts:
        elements = prod(row.leaf.axes.size(atom) for atom in part.atoms)
        if row.row.rank is not None:
            times[1] += elements
        elif part.cut is None:
            times[binding.tp] += elements
        else:
            times[replicas(part.cut, row.leaf.axes.size(part.cut.axis), binding.tp)] += elements
    return times


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_only_padding_is_beyond_the_checkpoint(name: str, tp: int) -> None:
    """What no tensor feeds is zero, and is a vocabulary's tail or a bias that one rank keeps."""
    made, _, ranks = load(name, tp)
    for rank, found in enumerate(ranks):
        filled = {param for _, param in made.pads(rank)}
        zeros = {param for param, array in found.params.items() if np.any(array == 0)}
        assert zeros == filled
        allowed = ("embed_tokens.", "embedding.", "embeddings.", "wte.", "lm_head.", "w2_bias")
        assert all(any(word in param for word in allowed) for param in filled), filled


# --- what a step says of itself ---


def shards_of(name: str, param: str) -> list[str | int | None]:
    made = load(name, 1).made
    return [step.shard for step in made.steps(0) if step.param == param]


def test_a_step_names_the_shard_that_it_fills() -> None:
    assert shards_of("llama", "model.layers.1.self_attn.qkv_proj.weight") == ["q", "k", "v"]
    assert shards_of("llama", "model.layers.1.self_attn.o_proj.weight") == [None]
    assert shards_of("gpt2", "transformer.h.0.attn.c_attn.bias") == ["q", "k", "v"]
    moe = "model.layers.0.block_sparse_moe.experts.routed_experts"
    assert set(shards_of("mixtral", f"{moe}.w13_weight")) == {f"{e}.{p}" for e in range(3) for p in ("gate", "up")}
    assert shards_of("mixtral", f"{moe}.w2_weight") == [0, 1, 2]
    assert shards_of("mixtral stacked", f"{moe}.w13_weight") == ["gate", "up"]


def test_a_tied_head_is_another_name_and_no_parameter() -> None:
    made = load("llama tied", 2).made
    assert made.tied() == {"lm_head.weight": "model.embed_tokens.weight"}
    assert "lm_head.weight" not in made.shapes(0)
    assert load("llama", 2).made.tied() == {}


def test_fused_parameters_are_those_of_several_parts() -> None:
    fused = {name.split(".")[-2] for name in load("llama", 1).made.fused}
    assert fused == {"qkv_proj", "gate_up_proj"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.layers.7.input_layernorm.weight", "layer 7 is outside 0..1 of {layer}"),
        ("model.layers.{}.input_layernorm.weight", "no row claims it"),
        ("model.layers.0.input_layernorm.weights", "no row claims it"),
        ("model.layers.0.input_layernorm", "no row claims it"),
        ("xmodel.layers.0.input_layernorm.weight", "no row claims it"),
        ("model.layers.00.input_layernorm.weight", "no row claims it"),
        ("model.layers.9999999999999.input_layernorm.weight", "no row claims it"),
        ("", "no row claims it"),
    ],
)
def test_a_name_that_no_row_spells_is_unmapped_with_its_reason(name: str, reason: str) -> None:
    binding = bind("llama")
    (claim,) = plan(binding, [synthesise(binding)[0]._replace(name=name)]).claims
    assert (claim.disposition, claim.reason) == ("unmapped", reason)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("model.layers.3.anything.at.all", (3,)), ("model.layers.3.x.5.weight", (3,)), ("model.layers.3.{", (3,))],
)
def test_whatever_lies_below_a_skipped_module_is_skipped(name: str, layer: tuple[int, ...]) -> None:
    binding = bind("deepseek v3")
    (claim,) = plan(binding, [synthesise(binding)[0]._replace(name=name)]).claims
    assert (claim.disposition, claim.indices[:1]) == ("skipped", layer)


def test_a_skipped_module_itself_is_not_below_itself() -> None:
    binding = bind("deepseek v3")
    (claim,) = plan(binding, [synthesise(binding)[0]._replace(name="model.layers.3")]).claims
    assert claim.disposition == "unmapped"


# --- the geometries of real models ---


@pytest.mark.parametrize("name", geometries())
def test_of_a_real_geometry_the_boxes_are_in_bounds_and_fill_every_parameter_to_the_last_element(name: str) -> None:
    """By volume, and one tensor a row: its laws only shift along the axes in its name."""
    config = geometry(name)
    for tp in sorted(set(TP_SIZES) & set(legal_sizes(choose(config, None, 1, "BF16").binding))):
        binding = choose(config, None, tp, "BF16").binding
        made = plan(binding, [_one_of(binding, row) for row in binding.rows])
        for rank in {0, tp // 2, tp - 1}:
            assert _volumes(made, rank) == {step.param: prod(_shape(step, rank)) for step in made.steps(rank)}


def _volumes(made: LoadPlan, rank: int) -> dict[str, int]:
    """Elements written of every parameter that a step reaches, were there all experts."""
    volumes: Counter[str] = Counter()
    for step in made.steps(rank):
        experts = prod(len(d) for a, d in zip(step.row.pattern.axes, step.row.domain, strict=True) if a == "expert")
        for box in made.boxes(step):
            assert within(box.src, step.row.shape), step
            assert within(box.dst, _shape(step, rank)), step
            volumes[step.param] += volume(box.dst) * experts
    for pad, param in made.pads(rank):
        if param in volumes:
            volumes[param] += sum(volume(ranges) for ranges in made.ranges(pad))
    return volumes


def _shape(step: Step, rank: int) -> Shape:
    return step.row.leaf.form(rank).shape


def _one_of(binding: Binding, row: BoundRow) -> Synthetic:
    name = binding.arch.prefixes[0] + row.pattern.name(tuple(domain[0] for domain in row.domain))
    return Synthetic(name, row.leaf.dtype, row.shape)


def volume(ranges: Ranges) -> int:
    return prod(len(range(*r)) for r in ranges)


def within(ranges: Ranges, shape: Shape) -> bool:
    return len(ranges) == len(shape) and all(0 <= a < b <= n for (a, b, _), n in zip(ranges, shape, strict=True))
