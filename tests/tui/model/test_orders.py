"""Orders that are made once, held against sorting and counting one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from tests.tui.subjects import opened
from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.arrival import arrival
from tui.model.orders import Order, Orders
from tui.model.stored import StoredRuns, stored
from tui.model.subject import Subject
from tui.model.tree import run, together, tree_of

HOSTILE = st.text(st.sampled_from("a0.-\0\1/\x7f\u202e²"), max_size=6)


@st.composite
def tensors(draw: st.DrawFn) -> list[TensorInfo]:
    names = draw(st.lists(HOSTILE, unique=True, max_size=12))
    return [
        TensorInfo(name, draw(st.sampled_from(["BF16", "F32"])), tuple(draw(st.lists(st.integers(0, 3), max_size=2))),
                   draw(st.sampled_from([None, "a", "b"])), 0, draw(st.integers(0, 9)))
        for name in names
    ]  # fmt: skip


@given(tensors(), st.data())
def test_the_run_of_a_group_is_what_begins_with_its_name(infos: list[TensorInfo], data: st.DataObject) -> None:
    names = [info.name for info in infos]
    starts = [name[:end] for name in names for end, letter in enumerate(name) if letter == "."]
    group = data.draw(st.sampled_from([*starts, *names, "a"]))
    ordered = sorted(infos, key=together)
    begin, end = run(ordered, group)
    assert {info.name for info in ordered[begin:end]} == {name for name in names if name.startswith(f"{group}.")}


@given(tensors(), st.sampled_from(get_args(Order)), st.data())
def test_some_positions_stand_as_they_do_among_all(
    infos: list[TensorInfo], order: Order, data: st.DataObject
) -> None:  # fmt: skip
    orders = Orders(infos)
    assert sorted(orders.all(order)) == list(range(len(infos)))
    wanted = data.draw(st.lists(st.integers(0, max(len(infos) - 1, 0)), unique=True)) if infos else []
    assert orders.some(sorted(wanted), order) == [position for position in orders.all(order) if position in wanted]


@given(tensors())
def test_a_tree_loses_no_name_whatever_is_in_it(infos: list[TensorInfo]) -> None:
    tree = tree_of(infos, {})
    assert sum(node.count for node in tree.root.children) == len(infos)
    assert all(tree.reveal(info.name) is not None for info in infos)


@given(tensors())
def test_what_is_counted_by_kinds_is_what_is_counted_one_by_one(infos: list[TensorInfo]) -> None:
    found = stored(infos)
    assert (found.count, found.nbytes) == (len(infos), sum(info.nbytes for info in infos))
    assert found.in_files == Counter(info.file for info in infos if info.file is not None)
    assert found.dtypes == _bytes((info.dtype, info.nbytes) for info in infos)
    assert found.files == _bytes((info.file, info.nbytes) for info in infos if info.file is not None)


@given(tensors(), st.integers(1, 5), st.data())
def test_what_a_run_takes_is_the_same_by_blocks_and_one_by_one(
    infos: list[TensorInfo], block: int, data: st.DataObject
) -> None:  # fmt: skip
    start = data.draw(st.integers(0, len(infos)))
    stop = data.draw(st.integers(start, len(infos)))
    assert StoredRuns(infos, block).between(start, stop) == stored(infos[start:stop])


def _bytes(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, nbytes in pairs:
        found[key] += nbytes
    return found


def test_what_did_not_change_is_taken_over_and_what_did_is_made_anew() -> None:
    examined = opened("broken").subject
    planned = Subject(examined.where, examined.title, examined.tensors, "plan", 2, examined.checkpoint)
    first = arrival(planned, 2)
    again = arrival(planned.further(refused=None), 2, first)
    assert again.tree is first.tree and again.orders is first.orders and again.search is first.search
    told = arrival(planned.further(stage="examined", causes=examined.causes), 2, first)
    assert told.marks and told.tree is not first.tree and told.orders is first.orders
    others = arrival(opened("clean").subject, 2, first)
    assert others.orders is not first.orders and len(others.orders.all("tree")) == len(opened("clean").subject.tensors)
