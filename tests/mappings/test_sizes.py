"""config.json -> sizes: the expression grammar, and which field is at fault when something is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.bind import Binder
from mappings.findings import Finding
from mappings.rows import Architecture
from mappings.schemes import scheme_of
from mappings.sizes import MAX_SIZE, Config, ConfigError, Sizes, axes_of, domains_of
from tests.mappings.laws import law
from tests.mappings.small import CONFIGS, architecture


def size(expression: str, fields: dict[str, Any], flags: dict[str, Any] | None = None, **axes: str) -> int:
    arch = Architecture("Any", {"wanted": expression, **axes}, ())
    return Sizes(arch, Config(fields, flags))["wanted"]


def refusal(expression: str, fields: dict[str, Any], **axes: str) -> Finding:
    with pytest.raises(ConfigError) as caught:
        size(expression, fields, None, **axes)
    finding = caught.value.finding
    assert finding.severity == "error"
    assert "\n" not in finding.message
    assert finding.subject in finding.message
    return finding


# --- the grammar ---


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a", 12),
        ("7", 7),
        ("a * b", 60),
        ("a + b", 17),
        ("4 * a", 48),
        ("a / 4", 3),
        ("ceil a / b", 3),
        ("ceil a / 4", 3),
        ("a + b * 2", 34),
        ("a / 4 * b", 15),
        ("a | b", 12),
        ("absent | b", 5),
        ("absent | b * absent | a + 1", 13),
        ("absent + a | b", 5),
        ("@other", 24),
        ("@other / a", 2),
        ("absent | ceil @other / b", 5),
    ],
)
def test_a_size_expression_is_read_from_left_to_right_the_first_complete_alternative_counts(
    expression: str, expected: int
) -> None:
    assert size(expression, {"a": 12, "b": 5}, other="2 * a") == expected


@law
@given(st.integers(1, 10**6), st.integers(1, 10**3))
def test_a_quotient_is_exact_or_a_conflict(left: int, right: int) -> None:
    fields = {"hidden_size": left, "num_heads": right}
    assert size("ceil hidden_size / num_heads", fields) == -(-left // right)
    if left % right == 0:
        assert size("hidden_size / num_heads", fields) * right == left
        return
    finding = refusal("hidden_size / num_heads", fields)
    assert (finding.code, finding.subject) == ("config.conflict", "hidden_size")
    assert (finding.evidence["left"], finding.evidence["right"]) == (left, right)
    assert f"{left} / {right} is not an integer" in finding.message


def test_an_alternative_is_not_computed_where_an_earlier_one_counts() -> None:
    assert size("head_dim | hidden_size / num_heads", {"head_dim": 3, "hidden_size": 10, "num_heads": 4}) == 3


def test_an_axis_that_nobody_asks_for_needs_no_field() -> None:
    sizes = Sizes(Architecture("Any", {"a": "a", "b": "b"}, ()), Config({"a": 3}))
    assert (sizes["a"], len(sizes), set(sizes)) == (3, 2, {"a", "b"})


# --- fields ---

WRONG = [0, -1, 1.0, 2.5, True, False, "8", "", [8], {"n": 8}, MAX_SIZE, 1 << 80, float("nan")]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_field_that_is_no_positive_integer_is_invalid(value: object) -> None:
    finding = refusal("absent | hidden_size", {"hidden_size": value})
    assert (finding.code, finding.subject) == ("config.invalid", "hidden_size")
    assert finding.evidence["found"] == repr(value)


def test_a_long_value_is_shown_in_short() -> None:
    finding = refusal("hidden_size", {"hidden_size": "x" * 1000})
    assert len(finding.message) < 150


@pytest.mark.parametrize("fields", [{}, {"hidden_size": None}, {"hidden_size": "auto"}], ids=repr)
def test_absent_null_and_auto_are_missing(fields: dict[str, Any]) -> None:
    finding = refusal("hidden_size", fields)
    assert (finding.code, finding.subject) == ("config.missing-field", "hidden_size")
    assert size("hidden_size | 3", fields) == 3


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("absent", "absent"),
        ("first | second", "first"),
        ("a + absent", "absent"),
        ("absent * a", "absent"),
        ("ceil absent / 16", "absent"),
        ("4 * absent", "absent"),
        ("@other", "deeper"),
        ("a * @other", "deeper"),
    ],
)
def test_a_missing_field_is_named_and_not_its_neighbour(expression: str, field: str) -> None:
    finding = refusal(expression, {"a": 1}, other="deeper")
    assert (finding.code, finding.subject) == ("config.missing-field", field)
    assert finding.fix == f"add {field} to config.json"


def test_a_documented_default_is_used_where_the_config_says_nothing() -> None:
    config = Config({"b": 2, "c": None}, {"a": 1, "b": 1, "c": "@b", "d": "@e"})
    assert [config.get(name) for name in "abcde"] == [1, 2, 2, None, None]
    assert config.used == {"a": 1, "b": 2}


def test_a_count_may_be_zero_or_absent_but_not_negative() -> None:
    config = Config({"zero": 0, "some": 3, "less": -1, "flag": True})
    assert [config.count(name) for name in ("zero", "some", "absent")] == [0, 3, 0]
    for name in ("less", "flag"):
        with pytest.raises(ConfigError, match=f"{name} is .* expected a non-negative integer"):
            config.count(name)


@pytest.mark.parametrize("value", [None, False, 0, True, 1, 1536])
def test_a_flag_is_the_truth_of_its_field(value: object) -> None:
    config = Config({"bias": value})
    assert config.flag("bias") is bool(value)
    assert config.flag("not bias") is not bool(value)


@pytest.mark.parametrize("value", ["", "false", "yes", [], {}, 1.0, -1, 1 << 80, float("nan")], ids=repr)
@pytest.mark.parametrize("expression", ["bias", "not bias", "bias == 2"])
def test_what_is_neither_true_nor_false_is_not_taken_for_either(expression: str, value: object) -> None:
    with pytest.raises(ConfigError, match=r"bias is .* expected true or false") as caught:
        Config({"bias": value}, {"bias": False}).flag(expression)
    assert caught.value.finding.code == "config.invalid"


def test_an_axis_in_a_quotient_is_spelled_as_the_field_that_it_came_from() -> None:
    finding = refusal("heads / @kv", {"heads": 4, "kv_heads": 3}, kv="absent | kv_heads | heads")
    assert "heads / kv_heads = 4 / 3 is not an integer" in finding.message
    finding = refusal("@hidden / heads", {"heads": 4, "n_embd": 7}, hidden="hidden_size | n_embd")
    assert (finding.subject, finding.evidence["expression"]) == ("n_embd", "n_embd / heads")


@pytest.mark.parametrize(("value", "holds"), [(2, True), (1, False), (22, False), (None, False)])
def test_a_flag_may_ask_for_one_value(value: object, holds: bool) -> None:
    config = Config({"norms": value})
    assert config.flag("norms == 2") is holds
    assert config.flag("not norms == 2") is not holds


# --- the architectures ---


def bound(name: str, fields: dict[str, Any]) -> None:
    Binder(architecture(CONFIGS[name].arch), fields, 1).bind()


def needed(name: str) -> list[str]:
    """Fields without which the small config of this kind cannot be bound."""
    config = CONFIGS[name].config
    found = []
    for field in config:
        try:
            bound(name, {k: v for k, v in config.items() if k != field})
        except ConfigError:
            found.append(field)
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_of_every_architecture_each_needed_field_is_named_when_it_is_missing(name: str) -> None:
    """Or its alternative is: without `head_dim` it is `hidden_size` that does not divide."""
    small = CONFIGS[name]
    expressions = [text for text in architecture(small.arch).axes.values() if " | " in text]
    assert needed(name)
    for field in needed(name):
        with pytest.raises(ConfigError) as caught:
            bound(name, {k: v for k, v in small.config.items() if k != field})
        said = caught.value.finding
        instead = {word for text in expressions if field in text.split() for word in text.split()}
        assert (said.code, said.subject) == ("config.missing-field", field) or (
            said.code in ("config.missing-field", "config.conflict") and said.subject in instead
        )


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("value", [0, "8", 2.5, -3, True, 1 << 50], ids=repr)
def test_of_every_architecture_each_needed_field_is_named_when_it_is_damaged(name: str, value: object) -> None:
    config = CONFIGS[name].config
    for field in needed(name):
        with pytest.raises(ConfigError) as caught:
            bound(name, {**config, field: value})
        assert (caught.value.finding.code, caught.value.finding.subject) == ("config.invalid", field)


def test_domains_are_the_layers_and_what_the_architecture_makes_of_them() -> None:
    jamba = architecture("JambaForCausalLM")
    fields = {
        "num_hidden_layers": 8, "attn_layer_period": 4, "attn_layer_offset": 1, "expert_layer_period": 2,
        "expert_layer_offset": 1, "num_experts": 4,
    }  # fmt: skip
    domains = domains_of(jamba, Config(fields, jamba.flags))
    assert {name: list(domain) for name, domain in domains.items()} == {
        "layer": list(range(8)), "layer:attention": [1, 5], "layer:mamba": [0, 2, 3, 4, 6, 7],
        "layer:moe": [1, 3, 5, 7], "layer:dense": [0, 2, 4, 6],
    }  # fmt: skip
    lone = domains_of(jamba, Config(fields | {"num_experts": 1}, jamba.flags))
    assert (list(lone["layer:moe"]), list(lone["layer:dense"])) == ([], list(range(8)))


def test_the_vocabulary_keeps_its_axis_even_if_it_has_one_row() -> None:
    llama = architecture("LlamaForCausalLM")
    assert axes_of(llama, Config({"vocab_size": 1})).atoms(("vocab",)) == ("vocab",)


# --- quantisation ---


def test_the_block_scheme_of_deepseek_is_read_from_the_config() -> None:
    declared = {"quant_method": "fp8", "weight_block_size": [128, 64], "fmt": "e4m3"}
    scheme = scheme_of(Config({"quantization_config": declared}))
    assert scheme is not None
    assert (scheme.name, scheme.block, scheme.scale_leaf) == ("fp8-block", (128, 64), "weight_scale_inv")
    assert scheme_of(Config({})) is None


@pytest.mark.parametrize("field", ["quantization", "compression_config"])
def test_a_scheme_is_declared_in_whichever_field_its_tool_uses(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scheme_of(Config({field: {"bits": 3, "group_size": 64}}))
    assert (caught.value.finding.code, caught.value.finding.subject) == ("quant.unsupported", field)
    assert "bits 3, group_size 64" in caught.value.finding.message


@pytest.mark.parametrize(
    "declared",
    [{}, {"quant_method": "mxfp4"}, {"quant_method": "fp8"}]
    + [
        {"quant_method": "fp8", "weight_block_size": block}
        for block in ([128], [128, 128, 1], [0, 128], [128, "128"], [-1, 4], 128, "128,128", [True, 128])
    ],
    ids=json.dumps,
)
def test_an_unknown_scheme_is_a_finding_and_not_a_guess(declared: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        scheme_of(Config({"quantization_config": declared}))
    assert caught.value.finding.code == "quant.unsupported"


@pytest.mark.parametrize("declared", ["fp8", 8, ["fp8"]], ids=repr)
def test_a_scheme_that_is_no_object_is_invalid(declared: object) -> None:
    with pytest.raises(ConfigError) as caught:
        scheme_of(Config({"quantization_config": declared}))
    assert (caught.value.finding.code, caught.value.finding.subject) == ("config.invalid", "quantization_config")
