"""A row's axes are its slot's axes: layouts that are a bijection, and those that are none."""

from __future__ import annotations

import pytest

from mappings.params import Param, fused, linear
from mappings.rows import Row
from tests.mappings.broken_tables import LAYER, adding, broken, slot_of, swapping
from tests.mappings.proofs import errors, failing, proofs

TWO = linear(f"{LAYER}.two", a="hidden, ffn", b="hidden, ffn")


@pytest.mark.parametrize(
    ("layout", "lacks", "extra"),
    [
        ("hidden, head", ["dim"], []),
        ("hidden, head.dim.ffn", [], ["ffn"]),
        ("hidden, head.head", ["dim"], ["group", "kv"]),
        ("dim, head.dim", ["hidden"], ["dim"]),
        ("hidden.hidden, head.dim", [], ["hidden"]),
        ("hidden, kv.dim", ["group"], []),
        ("head.dim", ["hidden"], []),
    ],
)
def test_axes_a_row_that_does_not_mention_every_axis_of_its_slot_once(
    layout: str, lacks: list[str], extra: list[str]
) -> None:
    slot = slot_of("llama", "o_proj").slot
    found = proofs(broken("llama", swapping("o_proj", Row(f"{LAYER}.self_attn.o_proj", slot, layout))))
    assert failing(found) == ["axes"]
    (finding,) = errors(found)
    assert (finding.code, finding.evidence["lacks"], finding.evidence["extra"]) == ("mapping.axes", lacks, extra)


@pytest.mark.parametrize("layout", ["hidden, head.dim", "dim.head, hidden", "1, head.hidden.dim", "head, dim, hidden"])
def test_axes_any_order_and_grouping_is_a_bijection(layout: str) -> None:
    slot = slot_of("llama", "o_proj").slot
    assert failing(proofs(broken("llama", swapping("o_proj", Row(f"{LAYER}.self_attn.o_proj", slot, layout))))) == []


def test_axes_several_parts_need_a_place_beside_each_other() -> None:
    found = proofs(broken("llama", adding(Row(f"{LAYER}.two", TWO, "hidden, ffn"))))
    assert failing(found) == ["axes"]
    assert "does not say once where they lie" in errors(found)[0].message


@pytest.mark.parametrize(
    ("layout", "parts"),
    [
        ("hidden, ffn", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn, part", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn, vocab", {"a": "hidden, ffn", "b": "hidden, ffn"}),
        ("part, ffn", {"a": "hidden, ffn", "b": "hidden, vocab"}),
        ("ffn", {"": "hidden, ffn"}),
        ("hidden, ffn, vocab", {"": "hidden, ffn"}),
        ("hidden, hidden", {"": "hidden, hidden"}),
        ("kv, head", {"": "kv, head"}),  # kv is a factor of head
    ],
)
def test_axes_a_parameter_whose_own_layout_is_no_bijection(layout: str, parts: dict[str, str]) -> None:
    param: Param = fused(f"{LAYER}.two", parts, layout=layout)
    rows = [Row(f"{LAYER}.{part or 'one'}", param[part]) for part in parts]
    found = proofs(broken("llama", adding(*rows)))
    assert failing(found) == ["axes"]
    assert errors(found)[0].subject == f"{LAYER}.two"


def test_axes_of_a_size_that_is_one_are_not_missed() -> None:
    """A layout may leave out the group of a model whose heads are not grouped."""
    slot = slot_of("llama", "o_proj").slot
    row = Row(f"{LAYER}.self_attn.o_proj", slot, "hidden, kv.dim")
    assert failing(proofs(broken("llama", swapping("o_proj", row), num_key_value_heads=16))) == []
