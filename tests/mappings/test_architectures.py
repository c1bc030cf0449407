"""The tables themselves: what a reader may rely on in every one of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from fixtures.geometries import geometry
from fixtures.geometries import names as geometries
from mappings import architectures
from mappings.architectures import BUILT_IN
from mappings.axes import Axes, spell
from mappings.names import ANYTHING, Pattern
from mappings.params import Param
from mappings.rows import Architecture, Fill, Row, Skip, Tie
from tests.mappings.small import CONFIGS, bind

EVERY = pytest.mark.parametrize("arch", BUILT_IN, ids=lambda arch: arch.id)
WORD = re.compile(r"[A-Za-z0-9_]+")
HOLE = re.compile(r"\{[a-z]+(:[a-z]+)?\}")

LAYOUTS = {
    "part, hidden", "hidden, part", "hidden, ffn", "ffn, hidden", "head.dim, hidden", "head.part, hidden",
    "kv.part, hidden", "expert, part, hidden", "expert, hidden, ffn.part", "expert, ffn, hidden", "part, inner",
    "part, 1, conv", "head.half.two, hidden", "kv.half.two, hidden",
}  # fmt: skip
"""The layouts that are stated anywhere: each is a peculiarity of a checkpoint that somebody published."""


def stated() -> dict[str, tuple[str, str]]:
    """Rows with a third column, by the line that they stand on: name and layout."""
    rows = [row for arch in BUILT_IN for row in arch.rows]
    return {row.source: (row.name, spell(row.stated)) for row in rows if row.stated is not None}


def test_two_columns_are_the_rule() -> None:
    """`pytest -rP` shows the list."""
    lines = {row.source for arch in BUILT_IN for row in arch.rows}
    unusual = stated()
    print(f"{len(unusual)} of {len(lines)} rows state a layout:")
    for source, (name, layout) in unusual.items():
        print(f'  {source:20} {name:60} "{layout}"')
    assert len(unusual) * 6 < len(lines)
    assert {layout for _, layout in unusual.values()} == LAYOUTS


def names_in(arch: Architecture) -> list[str]:
    own = [entry.name for entry in arch.entries if isinstance(entry, Row | Skip | Tie)]
    return own + [param.name for param in arch.params]


@EVERY
def test_every_name_is_literal_but_for_whole_segments_in_braces(arch: Architecture) -> None:
    for name in names_in(arch):
        *segments, last = name.split(".")
        assert all(WORD.fullmatch(s) or HOLE.fullmatch(s) for s in segments), name
        assert WORD.fullmatch(last) or HOLE.fullmatch(last) or last == ANYTHING, name


@EVERY
def test_only_a_skip_covers_all_below_a_name(arch: Architecture) -> None:
    for entry in arch.entries:
        if isinstance(entry, Row | Tie):
            assert ANYTHING not in entry.name


@EVERY
def test_every_row_is_found_by_the_words_of_its_name(arch: Architecture) -> None:
    """The file and line that reports give hold the end of the name, whatever module it stands in."""
    folder = Path(architectures.__file__).parent
    for row in arch.rows:
        file, _, line = row.source.partition(":")
        text = (folder / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert f'{row.name.rpartition(".")[2]}"' in text, row
        assert "Row(" in text, row


@EVERY
def test_every_decision_not_to_load_has_a_reason(arch: Architecture) -> None:
    for entry in arch.entries:
        if isinstance(entry, Skip | Fill):
            assert len(entry.why.split()) >= 3, entry
        if isinstance(entry, Tie):
            assert entry.when, entry
            assert isinstance(arch.flags.get(entry.when), bool), f"{entry.when} has a documented default"


@EVERY
def test_every_flag_that_decides_whether_something_exists_has_a_default_or_is_a_size(arch: Architecture) -> None:
    fields = {word for text in arch.axes.values() for word in text.split()}
    for param in arch.params:
        for flag in (param.when, param.bias):
            if isinstance(flag, str):
                field = flag.removeprefix("not ").partition(" == ")[0]
                assert field in {*arch.flags, *fields}, (param.name, flag)


def axes_in(param: Param) -> set[str]:
    cuts = {part.cut.axis for part in param.parts if part.cut}
    return {a for part in param.parts for dim in part.dims for a in dim} | cuts


@EVERY
def test_every_axis_is_defined(arch: Architecture) -> None:
    used = {a for param in arch.params for a in axes_in(param)} | {a for atoms in arch.factors.values() for a in atoms}
    used |= {a for row in arch.rows for dim in row.layout for a in dim} - {"part"}
    assert used <= {*arch.axes, *arch.factors}
    assert not set(arch.axes) & set(arch.factors)


@EVERY
def test_every_cut_axis_is_the_outermost_of_its_dimension(arch: Architecture) -> None:
    """Scales of quantisation blocks are counted from there."""
    for param in arch.params:
        for part in param.parts:
            if part.cut:
                assert any(dim[:1] == (part.cut.axis,) for dim in part.dims), (param.name, part)


@EVERY
def test_every_parameter_has_one_definition(arch: Architecture) -> None:
    assert max(Counter(param.name for param in arch.params).values()) == 1


def test_ids_are_unique() -> None:
    assert max(Counter(arch.id for arch in BUILT_IN).values()) == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_ids_of_rows_are_unique_within_a_binding(name: str) -> None:
    ids = Counter(row.id for row in bind(name).rows)
    assert max(ids.values()) == 1
    assert all(key.startswith(f"{CONFIGS[name].arch}:") for key in ids)


def test_dialects_have_the_parameters_of_the_spelling_that_the_hub_uses() -> None:
    for arch in BUILT_IN:
        if arch.dialect:
            hub = next(other for other in BUILT_IN if other.name == arch.name and other.dialect is None)
            assert {param.name for param in arch.params} == {param.name for param in hub.params}


def test_every_architecture_has_a_geometry_and_the_reverse() -> None:
    assert {geometry(name)["architectures"][0] for name in geometries()} == {arch.name for arch in BUILT_IN}


def test_every_architecture_has_a_small_config() -> None:
    assert {small.arch for small in CONFIGS.values()} == {arch.id for arch in BUILT_IN}


def test_hidden_and_head_dim_are_different_axes_even_where_they_agree() -> None:
    """Named apart in every table, so that a layout which mixes them up is no bijection."""
    axes = Axes({"hidden": 8, "head": 1, "dim": 8}, {})
    assert axes.atoms(("hidden",)) != axes.atoms(("head", "dim"))
    for name in CONFIGS:
        for row in bind(name).rows:
            atoms = [a for part in row.parts for a in part.atoms]
            assert "hidden" not in row.leaf.axes.factors
            assert len(row.parts) > 1 or len(set(atoms)) == len(atoms), row.id


def test_patterns_of_a_table_are_read_as_they_are_spelled() -> None:
    for arch in BUILT_IN:
        for name in names_in(arch):
            pattern = Pattern(name.removesuffix(f".{ANYTHING}"))
            assert pattern.name(tuple(range(len(pattern.holes)))).count(".") == pattern.text.count(".")
