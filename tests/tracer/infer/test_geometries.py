"""Every embedded geometry, its config.json hidden: the fields come back from names and shapes, and load as before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from fixtures.geometries import geometry, names
from mappings.plan import plan
from mappings.registry import choose
from tests.tracer.infer.synthetic import inferred, tensors_of
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.infer import Inferred
from tracer.infer.canonical import canonical

UNTOLD = {"theta", "eps", "act", "active"}
"""What no shape tells."""
UNUSED = {"mamba2-2.7b": {"dt"}}
"""Fields that no tensor has anything to do with: Mamba-2 has no time step of low rank."""
NOT_STORED = {"drafts": "the rows skip next-token layers, so that none are synthesised"}

Record = Mapping[str, Any]


@cache
def found_in(name: str) -> Inferred:
    return inferred(tensors_of(geometry(name)))


@pytest.mark.parametrize("name", names())
def test_every_field_that_shapes_tell_comes_back(name: str) -> None:
    wanted, found = canonical(geometry(name)), canonical(found_in(name).config())
    told = {field for field in wanted if field not in UNTOLD | set(NOT_STORED) | UNUSED.get(name, set())}
    told -= {"positions"} - set(found)
    assert {field: found.get(field) for field in told} == {field: wanted[field] for field in told}


@pytest.mark.parametrize("name", names())
def test_the_architecture_is_recognised_from_names_and_shapes(name: str) -> None:
    assert found_in(name).config()["architectures"] == geometry(name)["architectures"]


@pytest.mark.parametrize("name", names())
def test_what_is_called_certain_is_never_wrong(name: str) -> None:
    config = geometry(name)
    certain = {field.name: field.value for field in found_in(name).fields if field.confidence == "certain"}
    wrong = {key: value for key, value in certain.items() if config.get(key) not in (None, value)}
    wrong.pop("quantization_config", None)
    assert not wrong


@pytest.mark.parametrize("name", names())
def test_what_no_shape_tells_is_said_to_be_unknown(name: str) -> None:
    for field in found_in(name).fields:
        assert (field.value is None) == (field.confidence == "unknown") or field.name == "q_lora_rank"
        assert field.evidence


@pytest.mark.parametrize("name", names())
def test_every_tensor_is_known_and_agrees_with_the_others(name: str) -> None:
    found = found_in(name)
    assert found.known is not None and found.names is not None
    assert not found.names.strange
    assert not [(group.template, told) for group, told, _ in found.known.solved.strange]


@pytest.mark.parametrize("name", names())
def test_its_own_config_is_in_no_conflict_with_the_tensors(name: str) -> None:
    config = geometry(name)
    found = inferred(tensors_of(config), config)
    wrong = [f.message for f in found.findings if f.subject not in ("num_nextn_predict_layers",)]
    assert not wrong


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith(("deepseek-v", "mixtral"))])
def test_the_inferred_config_makes_the_same_plan_as_the_original(name: str) -> None:
    tensors = tensors_of(geometry(name))
    assert steps(found_in(name).config(), tensors) == steps(geometry(name), tensors)


@pytest.mark.parametrize("name", ["deepseek-v2-lite", "mixtral-8x7b", "deepseek-v3"])
def test_the_inferred_config_of_a_mixture_gives_every_rank_the_same_parameters(name: str) -> None:
    held = [t.name for t in tensors_of(geometry(name))]
    mine, theirs = (choose(config, held, 4, "BF16").binding for config in (found_in(name).config(), geometry(name)))
    assert plan(mine, []).shapes(3) == plan(theirs, []).shapes(3)
    assert {row.pattern.text: row.shape for row in mine.rows} == {row.pattern.text: row.shape for row in theirs.rows}


def test_a_next_token_layer_is_no_layer_of_the_model_though_it_has_its_own_embedding() -> None:
    """Names as DeepSeek-V3 publishes them: layer 61 is a whole layer and five modules more."""
    config = geometry("deepseek-v3")
    held, last, hidden = tensors_of(config), "model.layers.60.", config["hidden_size"]
    more = [replace(t, name=t.name.replace(last, "model.layers.61.")) for t in held if t.name.startswith(last)]
    own = {"embed_tokens": (config["vocab_size"], hidden), "shared_head.head": (config["vocab_size"], hidden)}
    own |= {"eh_proj": (hidden, 2 * hidden)}
    plain: dict[str, tuple[int, ...]] = {f"{module}.weight": shape for module, shape in own.items()}
    plain |= {f"{norm}.weight": (hidden,) for norm in ("enorm", "hnorm", "shared_head.norm")}
    more += [TensorInfo(f"model.layers.61.{name}", "BF16", shape, "f", 0, 0) for name, shape in plain.items()]
    found = inferred([*held, *more], config)
    told = found.config()
    assert (told["num_hidden_layers"], told["num_nextn_predict_layers"], told["first_k_dense_replace"]) == (61, 1, 3)
    assert found.names is not None and not found.names.strange and not found.findings


def steps(config: Record, tensors: list[Any]) -> list[object]:
    made = plan(choose(config, [tensor.name for tensor in tensors], 2, "BF16").binding, tensors)
    return [(s.tensor, s.param, s.src, s.dst) for rank in (0, 1) for s in made.steps(rank)]
