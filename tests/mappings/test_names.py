"""Names with holes, and names folded to ranges of positions: nothing may be lost on the way."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.names import Indices, Pattern, blank, collapse, fold, is_index, runs
from tests.mappings.laws import law

WORDS = st.sampled_from(["model", "layers", "experts", "w1", "weight", "07", "-1", "1e3", "²", "", "0x1", "A_log"])
POSITIONS = st.integers(0, 999_999_999)
SEGMENTS = st.lists(st.one_of(WORDS, POSITIONS), min_size=1, max_size=7)
SMALL = st.sets(st.integers(0, 60), min_size=1)


def spelled(segments: list[str | int]) -> str:
    return ".".join(map(str, segments))


def positions(text: str) -> list[int]:
    """`0..39 except 7, 19` -> the positions it names."""
    said, _, without = text.partition(" except ")
    return [i for i in _listed(said) if i not in set(_listed(without))]


def _listed(text: str) -> list[int]:
    ends = [piece.split("..") for piece in text.split(", ") if piece]
    return [i for piece in ends for i in range(int(piece[0]), int(piece[-1]) + 1)]


def expanded(text: str) -> list[str]:
    """`h.{0..2}.ln.{1, 4}.weight` -> the names it stands for."""
    literals, holes, rest = [], [], text
    while "{" in rest:
        literal, _, rest = rest.partition("{")
        hole, _, rest = rest.partition("}")
        literals.append(literal)
        holes.append(positions(hole))
    return ["".join(f"{a}{i}" for a, i in zip(literals, at, strict=True)) + rest for at in product(*holes)]


# --- patterns ---


@law
@given(SEGMENTS)
def test_naming_undoes_blanking(segments: list[str | int]) -> None:
    name = spelled(segments)
    template, indices = blank(name)
    axes = (f"{{axis{k}}}" for k in range(len(indices)))
    pattern = Pattern(".".join(next(axes) if segment == "{}" else segment for segment in template.split(".")))
    assert pattern.template == template
    assert pattern.name(indices) == name
    assert pattern.positions(indices) == indices


@law
@given(SEGMENTS)
def test_exactly_the_canonical_integers_are_positions(segments: list[str | int]) -> None:
    assert blank(spelled(segments))[1] == tuple(s for s in segments if isinstance(s, int))


@pytest.mark.parametrize("segment", ["00", "07", "-0", "+1", "1_000", "٣", "²", "", "one", "1000000000"])
def test_what_nobody_writes_is_no_position(segment: str) -> None:
    assert not is_index(segment)
    assert blank(f"h.{segment}.w")[0] == f"h.{segment}.w"


def test_a_hole_names_an_axis_and_perhaps_a_domain() -> None:
    pattern = Pattern("model.layers.{layer:moe}.mlp.experts.{expert}.w1.weight")
    assert pattern.holes == ("layer:moe", "expert")
    assert pattern.axes == ("layer", "expert")
    assert pattern.template == "model.layers.{}.mlp.experts.{}.w1.weight"


def test_an_integer_of_the_table_itself_is_part_of_the_name() -> None:
    pattern = Pattern("layers.{layer}.mlp.0.weight")
    assert pattern.name((3,)) == "layers.3.mlp.0.weight"
    assert pattern.template == blank(pattern.name((3,)))[0]
    assert pattern.positions((3, 0)) == (3,)
    assert pattern.positions((3, 1)) is None
    assert pattern.spread([range(4)]) == (range(4), (0,))


# --- folding ---


@law
@given(SMALL)
def test_a_run_names_exactly_the_positions_it_was_made_of(found: set[int]) -> None:
    assert positions(runs(found)) == sorted(found)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ([], ""),
        ([3], "3"),
        ([4, 3], "3, 4"),
        ([0, 2, 3, 4, 5], "0..5 except 1"),
        ([0, 2, 4], "0, 2, 4"),
        (sorted({*range(40)} - {7, 19}), "0..39 except 7, 19"),
        ([0, 9, 10, 11], "0, 9..11"),
    ],
)
def test_runs_are_spelled_as_the_reports_spell_them(found: list[int], text: str) -> None:
    assert runs(found) == text


NAMES = st.sets(
    st.one_of(
        st.builds("h.{}.ln.weight".format, st.integers(0, 9)),
        st.builds("h.{}.e.{}.w".format, st.integers(0, 4), st.integers(0, 4)),
        st.builds("{}.h.{}.{}".format, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
        st.sampled_from(["wte.weight", "h.07.ln.weight", "h.x.ln.weight"]),
    ),
    max_size=40,
)


@law
@given(NAMES)
def test_collapsing_loses_no_name_invents_none_and_counts_each_once(names: set[str]) -> None:
    folded = collapse(sorted(names))
    assert [len(expanded(text)) for text, _ in folded] == [count for _, count in folded]
    listed = [name for text, _ in folded for name in expanded(text)]
    assert sorted(listed) == sorted(names)


@law
@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_folding_says_exactly_the_positions_found(found: set[Indices]) -> None:
    text = fold("l.{}.e.{}.w.{}", sorted(found))
    listed = [name for piece in text.split(", l.") for name in expanded(piece if piece[0] == "l" else f"l.{piece}")]
    assert sorted(listed) == sorted(f"l.{a}.e.{b}.w.{c}" for a, b, c in found)


def test_a_product_of_positions_is_one_line() -> None:
    names = [f"h.{layer}.e.{expert}.w" for layer in range(3) for expert in range(8)]
    assert collapse(names) == [("h.{0..2}.e.{0..7}.w", 24)]


def test_a_position_missing_from_a_product_shows() -> None:
    names = [f"h.{layer}.e.{expert}.w" for layer in range(3) for expert in range(8) if (layer, expert) != (1, 5)]
    assert collapse(names) == [("h.{0, 2}.e.{0..7}.w", 16), ("h.1.e.{0..7 except 5}.w", 7)]


def test_lines_come_in_the_order_in_which_their_templates_were_first_seen() -> None:
    names = ["wte.weight", "h.1.b", "h.0.a", "h.0.b", "ln.weight"]
    assert [text for text, _ in collapse(names)] == ["wte.weight", "h.{0, 1}.b", "h.0.a", "ln.weight"]


@pytest.mark.parametrize("name", ["a.{}.w", "a.{layer}.w", "a{b", "}", "{}", "a.{}.3", "{0}.{1}"])
def test_a_stored_name_with_braces_is_left_as_it_is(name: str) -> None:
    assert collapse([name]) == [(name, 1)]


def test_folding_a_name_without_positions_is_the_name() -> None:
    assert fold("wte.weight", [()]) == "wte.weight"


@law
@given(st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=3))
def test_any_product_folds_to_one_text(columns: list[set[int]]) -> None:
    template = ".".join(["a", *["{}"] * len(columns)])
    text = fold(template, list(product(*columns)))
    assert len(expanded(text)) == prod(map(len, columns))
    assert text.count("a.") == 1
