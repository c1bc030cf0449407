"""The flat table: what is shown and in which order, against what Python's own sort and filter say."""

from __future__ import annotations

import re
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.findings import Severity
from tests.tui.model.pages import WIDTHS, text
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.columns import wide
from tui.model.line import plain, target
from tui.model.ordered import Marks
from tui.model.table import ORDERS, Order, TablePage, Wanted, rows
from tui.model.tree import tree_of
from tui.model.tree_page import TreePage

DTYPES = ["BF16", "F32", "F8_E4M3FNUZ", "Q4_K"]
SEVERITIES: list[Severity] = ["error", "warning", "info"]


@st.composite
def tensors(draw: st.DrawFn) -> list[TensorInfo]:
    name = st.from_regex(r"h\.([0-9]|1[0-9]|007)\.[ab](\.w)?", fullmatch=True)
    names = draw(st.lists(name, unique=True, max_size=12))
    return [
        TensorInfo(name, draw(st.sampled_from(DTYPES)), tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
                   draw(st.sampled_from([None, "a.safetensors"])), 0, draw(st.integers(0, 10**13)))
        for name in names
    ]  # fmt: skip


def parts(name: str) -> list[tuple[int, int | str]]:
    """Numbers as numbers, and before letters."""
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in re.split(r"(\d+)", name) if piece]


SAID = {
    "file": lambda info: 0, "name": lambda info: parts(info.name), "size": lambda info: -info.nbytes,
    "elements": lambda info: -prod(info.shape), "dtype": lambda info: info.dtype, "shape": lambda info: info.shape,
}  # fmt: skip


@settings(max_examples=60)
@given(tensors(), st.sampled_from(ORDERS), st.sampled_from([None, *DTYPES]), st.booleans(), st.data())
def test_orders_and_filters(
    infos: list[TensorInfo], order: Order, dtype: str | None, marked: bool, data: st.DataObject
) -> None:
    marks: Marks = {info.name: data.draw(st.sampled_from(SEVERITIES)) for info in infos if data.draw(st.booleans())}
    found = data.draw(st.none() | st.permutations(range(len(infos))))
    kept = infos if found is None else [infos[position] for position in found]
    kept = [info for info in kept if dtype in (None, info.dtype) and (info.name in marks or not marked)]
    wanted = Wanted(order, dtype, marked, None if found is None else tuple(found))
    assert rows(infos, wanted, marks) == sorted(kept, key=SAID[order])
    assert wanted.narrowed == (found is not None or marked or dtype is not None)


def test_orders_and_dtypes_come_round_and_a_dtype_that_is_gone_begins_again() -> None:
    wanted = Wanted()
    seen = []
    for _ in ORDERS:
        seen.append(wanted.order)
        wanted = wanted.sorted_next()
    assert tuple(seen) == ORDERS and wanted == Wanted()
    for expected in ("BF16", "F32", None):
        wanted = wanted.typed_next(["BF16", "F32"])
        assert wanted.dtype == expected
    assert Wanted(dtype="F16").typed_next(["BF16"]).dtype is None


INFOS = [
    TensorInfo(f"model.layers.{n}.self_attn.a_very_long_name_of_a_module.q_proj.weight", DTYPES[n % 4],
               (16384, 53248, 1)[: n % 4], ("model-00001-of-00163.safetensors", None)[n % 2], 0, 10**n)
    for n in range(13)
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
def test_each_line_is_a_tensor_and_the_heading_says_the_order(order: Order, width: int) -> None:
    marks: Marks = {INFOS[0].name: "error", INFOS[1].name: "warning", INFOS[2].name: "info"}
    page = TablePage(INFOS, Wanted(order), marks)
    text(page, width)
    shown, heading = [plain(line) for line in page.lines(width)], plain(page.heading(width))
    assert [target(line) for line in page.lines(width)] == [("tensor", info.name) for info in page.infos]
    assert all(wide(line) == width for line in (*shown, heading))
    for info, line in zip(page.infos, shown, strict=True):
        assert line[0] == {"error": "✗", "warning": "!", "info": "i", None: " "}[marks.get(info.name)]
        assert width < 40 or "q_proj.weight" in line, "what tells names apart is at their end"
    if width >= 40:
        assert (f"{order} ↓" in heading) == (order != "file" or width >= 150)


def test_a_tensor_is_found_at_the_line_that_it_is_shown_at() -> None:
    page = TablePage(INFOS, Wanted("size", dtype="F32"), {})
    for number, info in enumerate(page.infos):
        assert page.row_of(info.name) == number
    assert page.row_of(INFOS[0].name) is None, "it is of another dtype"


def test_lines_are_made_where_they_are_looked_at() -> None:
    page = TablePage(INFOS, Wanted(), {})
    lines = page.lines(80)
    assert len(lines) == 13 and lines[-1] == lines[12] and lines[2:4] == [lines[2], lines[3]]
    with pytest.raises(IndexError):
        lines[13]


def test_names_that_are_left_out_are_said_to_be_and_so_is_that_nothing_is_left() -> None:
    wanted = Wanted(dtype="F32", marked=True)
    table, tree = TablePage((), wanted, {}), TreePage(tree_of((), {}), wanted)
    for page in (table, tree):
        heading = page.heading(80)
        assert heading is not None and "(only F32, with findings)" in plain(heading)
        said = [plain(line).strip() for line in page.lines(80)]
        assert said == ["nothing is left: Esc shows all names", "n leads to what was found elsewhere"]
