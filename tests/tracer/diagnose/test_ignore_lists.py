"""Entries of ignore lists as quantisers write them: whole names, parts, wildcards, a few regular expressions."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.diagnose.hypotheses.lists import ignored_of, means

MODULE = "model.layers.3.mlp.down_proj"
SEGMENTS = st.lists(
    st.sampled_from(["model", "layers", "0", "11", "mlp", "down_proj", "visual"]), min_size=1, max_size=7
)


@pytest.mark.parametrize(
    "entry",
    [MODULE, "layers.3.mlp", "down_proj", ".mlp.down_proj.", "re:.*down_proj", r"re:model\.layers\.\d+\.mlp\..*",
     "re:^model.layers.3.*", "model.layers.3.*", "*.down_proj", "re:.*mlp.down_proj$"],
)  # fmt: skip
def test_an_entry_means_a_module_by_its_name_a_part_of_it_or_a_pattern(entry: str) -> None:
    assert means(entry, MODULE)


@pytest.mark.parametrize(
    "entry",
    ["model.layers.33.mlp.down_proj", "lm_head", "re:down_proj", "re:.*mlp$", "model.layers.4.*", "*.down", "",
     "re:(.*", "re:.*[dD]own.*"],
)  # fmt: skip
def test_an_entry_that_does_not_fit_or_is_not_understood_means_nothing(entry: str) -> None:
    assert not means(entry, MODULE)


def test_strictly_only_whole_segments_name_a_module() -> None:
    assert means("own_pro", MODULE) and not means("own_pro", MODULE, strict=True)
    assert means("mlp.down_proj", MODULE, strict=True)


def test_a_hostile_expression_costs_no_time() -> None:
    began = time.monotonic()
    assert not means("re:" + ".*a" * 150, "a" * 140 + "b" * 300)
    assert not means("re:(a+)+$", "a" * 400 + "b")
    assert time.monotonic() - began < 0.5


@given(SEGMENTS)
def test_every_module_is_meant_by_its_own_name_and_by_what_replaces_its_ends(segments: list[str]) -> None:
    name = ".".join(segments)
    assert means(name, name, strict=True)
    assert means(f"re:.*{segments[-1]}$", name)
    assert means(f"{segments[0]}*", name)


def test_the_list_is_found_whatever_its_field_is_called_and_overrides_leave_it_open() -> None:
    for field in ("ignore", "modules_to_not_convert", "llm_int8_skip_modules", "exclude_modules", "ignored_layers"):
        found = ignored_of({"quant_method": "x", field: ["lm_head", 3]})
        assert found is not None and (found.field, found.entries) == (field, ("lm_head",))
    empty = ignored_of({"quant_method": "awq", "modules_to_not_convert": None})
    assert empty is not None and (empty.field, empty.entries) == ("modules_to_not_convert", ())
    assert ignored_of({"quant_method": "gptq", "dynamic": {"-:.*mlp": {}}}) is None
