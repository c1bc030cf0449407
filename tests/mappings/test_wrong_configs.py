"""Every size field of every architecture, absent or wrong in every way: one finding that names it, never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.geometries import geometry, names
from mappings.architectures import BUILT_IN
from mappings.plan import plan
from mappings.registry import choose
from mappings.sizes import MAX_TENSORS, ConfigError
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS

WRONG: list[Any] = [
    "7", "", "seven", "x" * 1000, "\ud800", "7\n", 2.0, 0.5, 1e30, float("nan"), float("inf"), -1, 2**70, -(2**70),
    [], [7], {}, {"value": 7},
]  # fmt: skip
WRONG_FOR_A_SIZE = [*WRONG, 0, True, False]
"""A number of shared experts or the rank of a projection that does not exist may be zero, a size may not."""

OPTIONAL = {
    # an alternative that the architecture states
    "num_key_value_heads", "num_kv_heads", "head_dim", "n_inner", "ffn_hidden_size", "mamba_dt_rank", "time_step_rank",
    # a default that the Transformers config class documents
    "num_ln_in_parallel_attn", "num_experts", "attn_layer_period", "attn_layer_offset", "expert_layer_period",
    "expert_layer_offset", "first_k_dense_replace", "moe_layer_freq", "num_nextn_predict_layers", "q_lora_rank",
    "n_shared_experts",
}  # fmt: skip
"""Fields whose absence means something; without any other one there is no placement."""


def finding_of(config: dict[str, Any]) -> tuple[str, str, str] | None:
    """Code, subject and message of what stops the plan; None where nothing does."""
    try:
        binding = choose(config, None, 2, "BF16").binding
        plan(binding, synthesise(binding))
    except ConfigError as error:
        assert error.finding.severity == "error"
        return error.finding.code, error.finding.subject, error.finding.message
    return None


def sizes_of(config: dict[str, Any]) -> list[str]:
    """The fields that placement looks at and that are numbers."""
    used = choose(config, None, 2, "BF16").binding.config.used
    return [field for field, value in config.items() if field in used and type(value) is int]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_size_of_the_wrong_kind_is_one_finding_that_names_it(name: str) -> None:
    config = dict(CONFIGS[name].config)
    for field in sizes_of(config):
        for value in WRONG if field in OPTIONAL else WRONG_FOR_A_SIZE:
            found = finding_of(config | {field: value})
            assert found is not None, (field, value)
            code, subject, message = found
            assert (code, subject) == ("config.invalid", field), (field, value, message)
            assert message.startswith(f"config.json: {field} is ")
            assert "expected" in message
            assert len(message) < 200
            assert "\n" not in message


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("absent", ["gone", None, "auto"])
def test_a_size_that_is_absent_is_asked_for_and_never_made_up(name: str, absent: str | None) -> None:
    config = dict(CONFIGS[name].config)
    for field in set(sizes_of(config)) - OPTIONAL:
        changed = config | {field: absent}
        if absent == "gone":
            del changed[field]
        found = finding_of(changed)
        assert found is not None, field
        assert found[:2] == ("config.missing-field", field), found


def test_every_architecture_is_among_them() -> None:
    assert {CONFIGS[name].arch for name in CONFIGS} == {arch.id for arch in BUILT_IN}


@pytest.mark.parametrize("name", names())
def test_the_same_of_real_configs(name: str) -> None:
    """Which have every field that their publishers wrote."""
    config = geometry(name)
    for field in sizes_of(config):
        for value in ("7", -1, 2**70):
            assert (finding_of(config | {field: value}) or ())[:2] == ("config.invalid", field), (field, value)


def test_experts_times_layers_is_a_number_too() -> None:
    found = finding_of(geometry("deepseek-v3") | {"num_hidden_layers": 50_000})
    assert found is not None
    assert found[:2] == ("config.invalid", "num_hidden_layers")
    assert f"expected at most {MAX_TENSORS:,}" in found[2]


@pytest.mark.parametrize("value", [[], [3], "LlamaForCausalLM", 3, {}, [None], [["LlamaForCausalLM"]], True])
def test_an_architecture_of_the_wrong_kind(value: object) -> None:
    found = finding_of(dict(CONFIGS["llama"].config) | {"architectures": value})
    assert found is not None
    assert found[:2] == ("config.invalid", "architectures")
    assert repr(value) in found[2]
