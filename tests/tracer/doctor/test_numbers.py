"""config.json's numbers against names, where no rows say what the names mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mappings.findings import Finding
from tracer.doctor.numbers import examine_numbers


def stack(prefix: str, layers: int, *leaves: str) -> Iterator[str]:
    return (f"{prefix}.{n}.{leaf}" for n in range(layers) for leaf in leaves or ("mlp.weight", "attn.weight"))


def found(config: dict[str, Any], names: list[str], shares: bool = False) -> dict[str, Finding]:
    findings, _ = examine_numbers(config, names, shares)
    return {finding.code: finding for finding in findings}


@pytest.mark.parametrize("field", ["num_hidden_layers", "n_layer", "n_layers", "num_layers"])
@pytest.mark.parametrize("prefix", ["model.layers", "transformer.h", "decoder.blocks", "encoder.layer"])
def test_the_layers_that_are_promised_are_looked_for_under_any_name(field: str, prefix: str) -> None:
    assert found({field: 6}, list(stack(prefix, 6))) == {}
    short = found({field: 6}, list(stack(prefix, 4)))["layers.missing"]
    assert (short.severity, short.evidence["missing"]) == ("error", [4, 5])
    assert found({field: 6}, list(stack(prefix, 7)))["layers.extra"].severity == "info"


def test_the_decoder_may_be_described_by_a_part_of_the_config() -> None:
    config = {"text_config": {"num_hidden_layers": 4}, "vision_config": {"depth": 9}}
    names = [*stack("language_model.layers", 4), *stack("visual.blocks", 9)]
    assert found(config, names) == {}
    assert "layers.missing" in found(config, [*stack("language_model.layers", 3), *stack("visual.blocks", 2)])


def test_a_tower_that_lacks_its_last_layer_is_worth_knowing() -> None:
    config = {"num_hidden_layers": 4, "siglip_config": {"num_hidden_layers": 9}}
    told = found(config, [*stack("model.layers", 4), *stack("vision.encoder.layers", 8)])["config.conflict"]
    assert told.severity == "info"


def test_a_gap_in_the_middle_is_named_as_a_range() -> None:
    names = [name for name in stack("model.layers", 9) if name.split(".")[2] not in "345"]
    assert "none of 3..5" in found({"num_hidden_layers": 9}, names)["layers.missing"].message


def test_models_whose_layers_may_be_empty_are_passed_over() -> None:
    assert found({"num_hidden_layers": 9, "block_configs": []}, list(stack("model.layers", 7))) == {}


@pytest.mark.parametrize("field", ["num_experts", "num_local_experts", "n_routed_experts"])
def test_experts_are_counted_in_each_layer(field: str) -> None:
    config = {"num_hidden_layers": 2, field: 3}
    names = [f"model.layers.{n}.mlp.experts.{e}.w1.weight" for n in range(2) for e in range(3)]
    assert found(config, names) == {}
    short = [name for name in names if name != "model.layers.1.mlp.experts.2.w1.weight"]
    assert found(config, short).keys() == {"experts.missing"}
    assert found(config | {field: 2}, names)["config.conflict"].severity == "error"


def test_a_stored_head_against_a_stated_tie_is_a_warning_but_for_pickles() -> None:
    names = [*stack("model.layers", 2), "lm_head.weight"]
    tied = {"num_hidden_layers": 2, "tie_word_embeddings": True}
    assert found(tied, names)["tie.conflict"].severity == "warning"
    assert found(tied, names, shares=True) == {}
    assert found({"num_hidden_layers": 2}, names) == {}


def test_a_decoders_config_for_names_of_a_wrapped_model_is_a_warning() -> None:
    names = list(stack("model.language_model.layers", 2))
    assert found({"num_hidden_layers": 2}, names)["config.conflict"].severity == "warning"
    assert found({"text_config": {"num_hidden_layers": 2}}, names) == {}


def test_layers_that_predict_further_tokens_may_be_absent() -> None:
    config = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    assert found(config, list(stack("model.layers", 2)))["layers.missing"].severity == "info"
    assert found(config, [*stack("model.layers", 2), "mtp.proj.weight"]) == {}
    assert found(config, list(stack("model.layers", 3))).keys() == {"layers.extra"}
