"""What changes make of a list of tensors, and which of them are refused before anything is read."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from tracer.checkpoint.tensor_info import TensorInfo
from tracer.errors import UsageError
from tracer.repair.changes import Change, Cut, Drop, Join, RemoveField, Rename, RewriteIndex, SetField, Transform
from tracer.repair.planned import kind, named, plan
from tracer.repair.view import NotAView, View


def tensor(name: str, *shape: int, dtype: str = "F32") -> TensorInfo:
    return TensorInfo(name, dtype, shape, "model.safetensors", 0, prod(shape) * 4)


TENSORS = [
    tensor("q", 8, 6), tensor("k", 4, 6), tensor("norm", 6), tensor("packed", 8, 6, dtype="I32"),
    tensor("scaled", 8, 6, dtype="F8_E4M3"), tensor("four", 8, 6, dtype="F4"), tensor("scalar"),
]  # fmt: skip


def swap(a: str, b: str) -> Rename:
    return Rename({a: b, b: a})


@pytest.mark.parametrize(("changes", "said"), [
    # not there
    ([Rename({"gone": "x"})], "rename names 1 tensor not there: gone"),
    ([Drop(("q", "a", "b"), "")], "drop names 2 tensors not there: a, b"),
    ([Transform(("gone",), "transpose")], "transform names 1 tensor not there: gone"),
    ([Cut("gone", 0, {})], "cut names 1 tensor not there"),
    ([Join(("q", "gone"), "x", 0)], "join names 1 tensor not there"),
    # one name for two
    ([Rename({"q": "k"})], "two tensors would be called k: q and k"),
    ([Rename({"q": "x", "k": "x"})], "two tensors would be called x: q and k"),
    ([Cut("q", 0, {"k": (0, 4), "z": (4, 8)})], "two tensors would be called k"),
    ([Join(("q", "k"), "norm", 0)], "two tensors would be called norm: q and norm"),
    ([Rename({"q": ""})], "q: expected a printable name, found ''"),
    ([Rename({"q": "a\n"})], r"q: expected a printable name, found 'a\n'"),
    ([Rename({"q": "__metadata__"})], "q: expected a printable name, found '__metadata__'"),
    # contradictions
    ([Rename({"q": "x"}), Rename({"q": "y"})], "q is to be renamed to two names: x and y"),
    ([Rename({"q": "x"}), Drop(("q",), "")], "q is named by two changes that contradict each other: rename, drop"),
    ([Drop(("q",), ""), Transform(("q",), "transpose")], "q is to be dropped, and transformed"),
    ([Cut("q", 0, {"x": (0, 8)}), Rename({"q": "y"})], "contradict each other: cut, rename"),
    ([Cut("q", 0, {"x": (0, 8)}), Cut("q", 1, {"y": (0, 6)})], "contradict each other: cut, cut"),
    ([Join(("q", "k"), "x", 0), Drop(("k",), "")], "k is named by two changes that contradict each other: join, drop"),
    ([Join(("q", "q"), "x", 0)], "q is named by two changes that contradict each other: join, join"),
    ([Transform(("q",), "transpose"), Transform(("q",), "transpose")], "q is to be transformed twice alike: transpose"),
    ([Transform(("q", "q"), "transpose")], "q is to be transformed twice alike: transpose"),
    ([Drop(tuple(t.name for t in TENSORS), "")], "the changes would leave no tensor"),
    # shapes
    ([Transform(("norm",), "transpose")], "transpose of norm: expected a matrix to transpose, found shape [6]"),
    ([Transform(("q",), "half-to-interleaved", 3)], "q: expected 3 heads of an even number of rows, found 8 rows"),
    ([Transform(("q",), "interleaved-to-half", 8)], "expected 8 heads of an even number of rows, found 8 rows"),
    ([Transform(("q",), "interleaved-to-half", 0)], "expected 0 heads"),
    ([Transform(("scalar",), "half-to-interleaved", 1)], "expected 1 heads of an even number of rows, found 0 rows"),
    ([Cut("q", 2, {"x": (0, 8)})], "cut of q: expected an axis of [8, 6], found 2"),
    ([Cut("q", 0, {"x": (0, 7)})], "cut of q: the parts are 7 of the 8 of axis 0"),
    ([Cut("q", 0, {"x": (0, 4), "y": (3, 8)})], "expected ranges of axis 0 in order, found [3, 8) where 4 was next"),
    ([Cut("q", 0, {"x": (4, 8), "y": (0, 4)})], "in order, found [4, 8) where 0 was next"),
    ([Cut("q", 0, {"x": (0, 8)}, drop_axis=True)], "in order, found [0, 8) where 0 was next"),
    ([Transform(("q",), "half-to-interleaved", 2), Cut("q", 0, {"x": (0, 3), "y": (3, 8)})], "cuts through rows"),
    ([Join(("q", "k"), "x", 1)], "expected F32 [8, 6] but for axis 1, found k of F32 [4, 6]"),
    ([Join(("q", "k"), "x", 0, new_axis=True)], "found k of F32 [4, 6]"),
    ([Join(("q", "norm"), "x", 0)], "found norm of F32 [6]"),
    ([Join(("q", "packed"), "x", 0)], "found packed of I32 [8, 6]"),
    ([Join(("q", "k"), "x", 2)], "join into x: expected an axis of [8, 6], found 2"),
    # values that are not in the elements alone
    ([Transform(("packed",), "transpose")], "transpose of packed: its elements are I32, quantised or packed"),
    ([Transform(("scaled",), "half-to-interleaved", 2)], "of scaled: its elements are F8_E4M3, quantised or packed"),
    ([Transform(("packed",), "add", amount=1)], "add of packed: its elements are I32"),
    ([Cut("four", 0, {"x": (0, 4), "y": (4, 8)})], "cut of four: its elements of 4 bits are packed"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(changes: list[Change], said: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(TENSORS, [changes])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def described(stages: list[list[Change]]) -> dict[str, tuple[int, ...]]:
    return {planned.name: planned.shape for planned in plan(TENSORS, stages)}


def test_quantised_tensors_are_renamed_and_dropped() -> None:
    found = described([[Rename({"packed": "a", "four": "b"}), Drop(("scaled",), "")]])
    assert list(found) == ["q", "k", "norm", "a", "b", "scalar"]


def test_what_two_changes_agree_on_is_done_once() -> None:
    once: list[Change] = [Rename({"q": "x"}), Drop(("k",), "one reason")]
    assert described([[*once, Rename({"q": "x"}), Drop(("k",), "another")]]) == described([once])
    cut: list[Change] = [Cut("q", 0, {"x": (0, 8)})]
    assert described([cut * 2]) == described([cut])


def test_changes_of_a_stage_name_what_was_there_before_it() -> None:
    assert described([[swap("q", "k")]])["k"] == (8, 6)
    assert described([[swap("q", "k")], [swap("q", "k")]]) == described([[]])
    assert described([[Rename({"q": "x"}), Transform(("q",), "transpose")]])["x"] == (6, 8)
    assert described([[Rename({"q": "x"})], [Transform(("x",), "transpose")]])["x"] == (6, 8)
    with pytest.raises(UsageError, match="transform names 1 tensor not there: x"):
        plan(TENSORS, [[Rename({"q": "x"}), Transform(("x",), "transpose")]])
    with pytest.raises(UsageError, match="rename names 1 tensor not there: q"):
        plan(TENSORS, [[Rename({"q": "x"})], [Rename({"q": "y"})]])


def test_stages_follow_each_other_through_cuts_and_joins() -> None:
    stages: list[list[Change]] = [
        [Cut("q", 0, {"a": (0, 4), "b": (4, 8)})], [Transform(("a",), "transpose"), Rename({"b": "c"})],
        [Join(("c", "k"), "d", 1)], [Rename({"d": "e"}), Transform(("d",), "add", amount=1)],
        [Cut("e", 1, {"f": (0, 5), "g": (5, 12)})], [Transform(("g",), "transpose")],
    ]  # fmt: skip
    found = described(stages)
    assert (found["a"], found["f"], found["g"]) == ((6, 4), (4, 5), (7, 4))
    with pytest.raises(UsageError, match="of d: it is joined from 2 in the same repair; repair the copy once more"):
        plan(TENSORS, [*stages[:3], [Transform(("d",), "half-to-interleaved", 1)]])


def test_each_kind_of_change_has_a_name_and_names_its_tensors() -> None:
    changes: list[Change] = [
        Rename({"a": "b"}), SetField("f", 1), RemoveField("f"), Drop(("a", "b"), ""), Transform(("a",), "add"),
        Cut("a", 0, {}), Join(("a", "b"), "c", 0), RewriteIndex(),
    ]  # fmt: skip
    assert [kind(change) for change in changes] == [
        "rename", "set-field", "remove-field", "drop", "transform", "cut", "join", "rewrite-index",
    ]  # fmt: skip
    assert [len(named(change)) for change in changes] == [1, 0, 0, 2, 1, 1, 2, 0]


# --- views ---


@pytest.mark.parametrize(("first", "second"), [((8, "halved"), (2, "interleaved")), ((2, "interleaved"), (8, "halved")),
                                               ((2, "halved"), (8, "interleaved")), ((4, "halved"), (4, "halved"))])
def test_one_reordering_follows_another(first: tuple[int, str], second: tuple[int, str]) -> None:
    """As where k was reordered with the number of heads of q, and has to be reordered back."""
    view, rows = View.of(tensor("k", 32)), np.arange(32)
    for heads, way in (first, second):
        view = getattr(view, way)(heads)
        split = rows.reshape(heads, *((2, -1) if way == "interleaved" else (-1, 2)))
        rows = split.swapaxes(1, 2).reshape(-1)
    assert positions(view) == rows.tolist()


def positions(view: View) -> list[int]:
    """The element that each element of a view is."""
    found = np.array([view.start])
    for step in (step for axis in view.axes for step in axis):
        found = (found[:, None] + np.arange(step.size) * step.stride).reshape(-1)
    return [int(at) for at in found]


def test_reorderings_that_do_not_fit_into_each_other_are_refused() -> None:
    with pytest.raises(NotAView, match="its rows were reordered before"):
        View.of(tensor("k", 24)).halved(2).interleaved(3)
