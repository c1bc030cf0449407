"""Names in errors are found in a checkpoint whatever an engine has stripped, put in front, or fused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.architectures import BUILT_IN
from tests.catalogue.models import decoder, qwen3_moe
from tracer.diagnose.hypotheses.whereabouts import fused_parts, place_of

NAMES = list(decoder(3).tensors)


@given(st.sampled_from(NAMES), st.integers(0, 2))
def test_a_name_is_found_with_components_stripped_from_its_beginning(name: str, stripped: int) -> None:
    segments = name.split(".")
    said = ".".join(segments[min(stripped, len(segments) - 2) :])
    place = place_of(said, NAMES)
    assert place is not None and place.stripped + said == place.names[0]
    assert place.names[0].endswith(said)


@given(st.sampled_from(NAMES), st.sampled_from(["model.", "net.module.", "language_model.model."]))
def test_a_name_is_found_with_components_put_in_front(name: str, front: str) -> None:
    place = place_of(front + name, [n for n in NAMES if n == name])
    assert place is not None and (place.names, place.added) == ((name,), front)


def test_a_fused_name_stands_for_its_parts_in_every_layer() -> None:
    place = place_of("layers.1.self_attn.qkv_proj.weight", NAMES)
    assert place is not None and place.fused == "qkv_proj" and place.stripped == "model."
    assert [name.split(".")[-2] for name in place.names] == ["q_proj", "k_proj", "v_proj"]
    assert len(place.kin) == 9


def test_an_engines_name_for_all_experts_stands_for_the_first_ones() -> None:
    names = list(qwen3_moe(3, 4).tensors)
    place = place_of("layers.2.mlp.experts.w13_weight", names)
    assert place is not None
    assert place.names == (
        "model.layers.2.mlp.experts.0.gate_proj.weight",
        "model.layers.2.mlp.experts.0.up_proj.weight",
    )
    assert len(place.kin) == 3 * 4 * 2


@pytest.mark.parametrize(
    "said", ["layers.9.self_attn.q_proj.weight", "q_proj_weight", "", "weights", "layers.0.mlp.gate.up"]
)
def test_a_name_that_no_tensor_has_is_found_nowhere(said: str) -> None:
    assert place_of(said, NAMES) is None


def test_what_engines_fuse_is_read_off_the_rows() -> None:
    assert fused_parts()["qkv_proj"] == ("q_proj", "k_proj", "v_proj")
    assert fused_parts()["gate_up_proj"] == ("gate_proj", "up_proj")
    rows = {row.name.rpartition(".")[2] for arch in BUILT_IN for row in arch.rows}
    assert {part for module in ("qkv_proj", "gate_up_proj", "w13") for part in fused_parts()[module]} <= rows
