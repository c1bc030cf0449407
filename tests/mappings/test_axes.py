"""The layout grammar, and axes as products of atoms."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.axes import PART, Axes, Layout, blocks, parse, spell
from tests.mappings.laws import law

NAMES = st.sampled_from(["head", "kv", "group", "dim", "hidden", "ffn", "expert", PART])
LAYOUTS = st.lists(st.lists(NAMES, max_size=4).map(tuple), min_size=1, max_size=4).map(tuple)

SIZES = {"kv": 2, "group": 3, "two": 2, "half": 5, "hidden": 7, "one": 1, "expert": 1}
FACTORS = {"head": ("kv", "group"), "dim": ("two", "half"), "unit": ("one", "expert"), "row": ("head", "dim")}
AXES = Axes(SIZES, FACTORS)
KNOWN = sorted({*SIZES, *FACTORS})


@law
@given(LAYOUTS)
def test_parsing_undoes_spelling(layout: Layout) -> None:
    assert parse(spell(layout)) == layout


@pytest.mark.parametrize("text", ["head.part, hidden", "expert, hidden, ffn.part", "part, 1, conv", "1", "hidden"])
def test_spelling_undoes_parsing(text: str) -> None:
    assert spell(parse(text)) == text


def test_a_layout_is_a_list_of_products_outermost_first() -> None:
    assert parse("head.part,hidden , 1") == (("head", PART), ("hidden",), ())


@pytest.mark.parametrize(
    "text",
    ["", ",", "head,", "head..dim", ".dim", "head.dim.", "head dim", "head*dim", "2", "head.1", "{layer}", "head/2"],
)
def test_a_bad_layout_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a product of axis names") as caught:
        parse(text)
    assert repr(text) in str(caught.value)


def test_a_product_is_told_in_its_atoms_outermost_first() -> None:
    assert AXES.atoms(("head", "dim")) == ("kv", "group", "two", "half")
    assert AXES.atoms(("row",)) == ("kv", "group", "two", "half")


def test_atoms_of_size_one_vanish() -> None:
    assert AXES.atoms(("one", "hidden", "unit", "expert")) == ("hidden",)
    assert AXES.layout(parse("expert, one.hidden, 1")) == ((), ("hidden",), ())


def test_a_padded_atom_of_size_one_stays_as_there_is_more_of_it_than_its_size() -> None:
    assert Axes(SIZES, FACTORS, frozenset({"one"})).layout(parse("one, expert.hidden")) == (("one",), ("hidden",))


def test_part_stands_wherever_it_stood() -> None:
    assert AXES.layout(parse("head.part, hidden")) == (("kv", "group", PART), ("hidden",))


@law
@given(st.lists(st.sampled_from(KNOWN), max_size=5))
def test_the_extent_of_a_dimension_is_that_of_its_atoms(dim: list[str]) -> None:
    assert AXES.extent(dim) == prod(SIZES[atom] for atom in AXES.atoms(dim))


@law
@given(st.lists(st.sampled_from(KNOWN), min_size=1, max_size=3).map(tuple), st.integers(1, 40))
def test_a_block_axis_counts_blocks_the_last_one_perhaps_partial(dim: tuple[str, ...], block: int) -> None:
    extent = AXES.extent(dim)
    assert AXES.size(blocks(dim, block)) == len(range(0, extent, block))


def test_a_dimension_within_one_block_has_no_block_axis() -> None:
    assert AXES.atoms((blocks(("head", "dim"), 60),)) == ()
    assert AXES.atoms((blocks(("head", "dim"), 59),)) == ("head.dim/59",)


def test_an_axis_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(KeyError, match="state"):
        AXES.size("state")
