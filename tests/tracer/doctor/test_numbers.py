"""config.json's numbers against names, where no rows say what the names mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from mappings.findings import Finding
from tracer.doctor.numbers import count, examine_numbers


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


DONUT = {
    "decoder": {"decoder_layers": 4, "encoder_layers": 12, "num_hidden_layers": 12},
    "encoder": {"depths": [2, 14], "num_layers": 2},
}  # fmt: skip
WHISPER = {"num_hidden_layers": 6, "encoder_layers": 6, "decoder_layers": 2}


@pytest.mark.parametrize(("config", "names"), [
    (DONUT, [*stack("decoder.model.decoder.layers", 4), *stack("encoder.encoder.layers.0.blocks", 2),
             *stack("encoder.encoder.layers.1.blocks", 14)]),
    (WHISPER, [*stack("model.decoder.layers", 2), *stack("model.encoder.layers", 6)]),
    (WHISPER, list(stack("model.decoder.layers", 2))),
])  # fmt: skip
def test_a_decoder_with_a_number_of_its_own_is_held_to_that(config: dict[str, Any], names: list[str]) -> None:
    """Of Donut's config `num_hidden_layers` is an encoder's that is not there; Whisper's drafts have no encoder."""
    assert found(config, names) == {}
    gone = [name for name in names if "decoder.layers.1." not in name]
    assert found({**config, "num_hidden_layers": 12}, gone)["layers.missing"].severity == "error"


def test_a_side_that_lacks_layers_is_an_error_though_the_other_fits() -> None:
    names = [*stack("model.decoder.layers", 2), *stack("model.encoder.layers", 5)]
    assert "encoder_layers is 6, but model.encoder.layers has 5" in found(WHISPER, names)["layers.missing"].message


def test_towers_alone_are_a_warning_and_not_the_decoder() -> None:
    """Some publish what they trained, and have the decoder loaded from its own repository."""
    config = {"text_config": {"num_hidden_layers": 32}, "audio_config": {"num_hidden_layers": 2}}
    names = ["multi_modal_projector.linear_1.weight", *stack("audio_tower.layers", 2)]
    assert found(config, names)["layers.missing"].severity == "warning"
    assert found(config, [*names, *stack("language_model.layers", 30)])["layers.missing"].severity == "error"


def test_a_tower_of_as_many_layers_does_not_hide_that_the_decoder_lacks_some() -> None:
    config = {"text_config": {"num_hidden_layers": 6}, "vision_config": {"num_hidden_layers": 6}}
    tower = list(stack("vision_tower.encoder.layers", 6))
    assert found(config, [*tower, *stack("language_model.layers", 6)]) == {}
    assert found(config, [*tower, *stack("language_model.layers", 4)])["layers.missing"].evidence["missing"] == [4, 5]


def test_numbers_that_invite_to_count_are_not_counted_for_each_prefix() -> None:
    """30,000 prefixes against 99,999 layers and experts, in a second and not in an hour; and in a line."""
    names = [f"m{n}.{kind}.0.w" for n in range(30_000) for kind in ("layers", "experts")]
    begin = time.monotonic()
    told = found({"num_hidden_layers": 99_999, "num_experts": 99_999}, names)
    assert time.monotonic() - begin < 5
    assert told.keys() == {"layers.missing", "experts.missing"}
    uneven = list(stack("model.layers", 1)) + [f"model.layers.{n}.w" for n in range(0, 9_999, 2)]
    assert len(found({"num_hidden_layers": 9_999}, uneven)["layers.missing"].message) < 500


def test_a_name_of_very_many_numbers_is_not_taken_apart() -> None:
    counted = count(["layers.0." * 50_000 + "w"])
    assert sum(map(len, counted.stacks)) < 100_000


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
