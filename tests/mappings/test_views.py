"""Boxes of a pair of strided views, against the copy that numpy makes of the same views."""

from __future__ import annotations

from itertools import groupby, product
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from mappings.views import Box, Ranges, Shape, View, boxes, contiguous, moved_on, unravel
from tests.mappings.laws import law

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class Case(NamedTuple):
    """A copy: from a view of one tensor to a view of another."""

    src_shape: Shape
    src: View
    dst_shape: Shape
    dst: View


def viewed(array: Ids, view: View) -> Ids:
    strides = tuple(stride * array.itemsize for stride in view.strides)
    return as_strided(array.reshape(-1)[view.offset :], view.sizes, strides)


def copied(case: Case) -> Ids:
    """What numpy does."""
    source, target = np.arange(1, prod(case.src_shape) + 1), np.zeros(case.dst_shape, dtype=np.int64)
    viewed(target, case.dst)[...] = viewed(source, case.src)
    return target


def slices(ranges: Ranges) -> tuple[slice, ...]:
    return tuple(slice(*r) for r in ranges)


def applied(case: Case, moves: tuple[Box, ...]) -> Ids:
    """What the trace format says: `param[dst] = tensor[src]`, axes permuted, then reshaped in row-major order."""
    source = np.arange(1, prod(case.src_shape) + 1).reshape(case.src_shape)
    target, written = np.zeros(case.dst_shape, dtype=np.int64), np.zeros(case.dst_shape, dtype=np.int64)
    for move in moves:
        block = source[slices(move.src)]
        assert is_inside(move.src, case.src_shape), move
        assert is_inside(move.dst, case.dst_shape), move
        block = block if move.perm is None else block.transpose(move.perm)
        landing = target[slices(move.dst)]
        assert is_flattening(block.shape, landing.shape), (move, block.shape, landing.shape)
        target[slices(move.dst)] = block.reshape(landing.shape)
        written[slices(move.dst)] += 1
    assert written.max() <= 1, "an element is written twice"
    return target


def is_inside(ranges: Ranges, shape: Shape) -> bool:
    return len(ranges) == len(shape) and all(
        0 <= start < stop <= size and step >= 1 and (stop - 1 - start) % step == 0
        for (start, stop, step), size in zip(ranges, shape, strict=True)
    )


def is_flattening(a: Shape, b: Shape) -> bool:
    """Whether the extents agree, but for 1s, and runs of one side being a single dimension of the other."""
    left, right = [n for n in a if n > 1], [n for n in b if n > 1]
    while left and right:
        if left[0] == right[0]:
            del left[0], right[0]
            continue
        long, short = (left, right) if left[0] > right[0] else (right, left)
        whole, run = long.pop(0), 1
        while short and run < whole:
            run *= short.pop(0)
        if run != whole:
            return False
    return not left and not right


# --- random copies ---


@st.composite
def factored(draw: st.DrawFn, sizes: list[int]) -> tuple[Shape, View]:
    """A view that takes part of a tensor: atoms in any order, among others that stand still, dimensions flattened."""
    starts = [draw(st.integers(0, 2)) for _ in sizes]
    rooms = [start + size + draw(st.integers(0, 2)) for start, size in zip(starts, sizes, strict=True)]
    still = draw(st.lists(st.integers(1, 3), max_size=2))
    order = draw(st.permutations(range(len(sizes) + len(still))))
    every = [*rooms, *still]
    places = contiguous(tuple(every[axis] for axis in order))
    stride = dict(zip(order, places, strict=True))
    offset = sum(start * stride[axis] for axis, start in enumerate(starts))
    offset += sum(draw(st.integers(0, n - 1)) * stride[len(sizes) + k] for k, n in enumerate(still))
    groups = [draw(st.integers(0, 2)) for _ in order]
    shape = tuple(
        prod(every[axis] for axis, _ in run)
        for _, run in groupby(zip(order, np.cumsum([g == 0 for g in groups]), strict=True), key=lambda pair: pair[1])
    )
    return shape or (1,), View(offset, tuple(sizes), tuple(stride[axis] for axis in range(len(sizes))))


@st.composite
def layouts(draw: st.DrawFn) -> Case:
    """Copies as a plan has them: the same axes laid out in two ways."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    return Case(*draw(factored(sizes)), *draw(factored(sizes)))


@st.composite
def any_view(draw: st.DrawFn, sizes: list[int], injective: bool) -> tuple[Shape, View]:
    """A view with any strides, unrelated to the shape of the tensor that it lies in."""
    order = draw(st.permutations(range(len(sizes))))
    strides, reach = dict.fromkeys(range(len(sizes)), 0), 0
    for axis in order:
        strides[axis] = draw(st.integers(reach + 1, reach + 4)) if injective else draw(st.integers(0, 7))
        reach += (sizes[axis] - 1) * strides[axis]
    offset = draw(st.integers(0, 5))
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    rows = -(-(offset + reach + 1) // prod(shape)) + draw(st.integers(0, 1))
    return (rows, *shape), View(offset, tuple(sizes), tuple(strides[axis] for axis in range(len(sizes))))


@st.composite
def anything(draw: st.DrawFn) -> Case:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return Case(*draw(any_view(sizes, injective=False)), *draw(any_view(sizes, injective=True)))


@law
@given(layouts())
def test_the_boxes_of_two_layouts_are_the_copy(case: Case) -> None:
    assert np.array_equal(applied(case, boxes(*case)), copied(case))


@law
@given(anything())
def test_the_boxes_of_any_two_views_are_the_copy(case: Case) -> None:
    assert np.array_equal(applied(case, boxes(*case)), copied(case))


@law
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_a_stepped_slice_is_one_box(shape: list[int], data: st.DataObject) -> None:
    """Whatever is cut out of a tensor by `tensor[a:b:s, ...]` is written down as just that."""
    source = np.arange(prod(shape)).reshape(shape)
    cuts = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        stop = data.draw(st.integers(start + 1, size))
        cuts.append((start, stop, data.draw(st.integers(1, 3))))
    block = source[tuple(slice(*cut) for cut in cuts)]
    strides = tuple(stride // source.itemsize for stride in block.strides)
    view = View(int(block.flat[0]), block.shape, strides)
    (box,) = boxes(tuple(shape), view, block.shape, View(0, block.shape, contiguous(block.shape)))
    assert np.array_equal(source[slices(box.src)], block)
    assert box.perm is None


@law
@given(st.lists(st.integers(2, 4), min_size=1, max_size=4), st.data())
def test_a_transposed_tensor_is_one_box_with_its_permutation(shape: list[int], data: st.DataObject) -> None:
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    target = tuple(shape[axis] for axis in order)
    strides = contiguous(tuple(shape))
    view = View(0, target, tuple(strides[axis] for axis in order))
    (box,) = boxes(tuple(shape), view, target, View(0, target, contiguous(target)))
    assert box.perm == (None if list(order) == sorted(order) else order)


@law
@given(layouts() | anything(), st.data())
def test_boxes_moved_on_are_the_boxes_of_the_view_further_on(case: Case, data: st.DataObject) -> None:
    """Or nothing is said; a view that would leave the tensor is never moved."""
    by = data.draw(st.integers(0, prod(case.dst_shape)))
    moved = moved_on(boxes(*case), case.dst_shape, by)
    if moved is not None:
        assert moved == boxes(*case._replace(dst=case.dst.shifted(by)))


def test_every_expert_lies_where_the_first_does_further_on() -> None:
    case = Case((3, 4), View(0, (3, 4), (4, 1)), (8, 6, 4), View(12, (3, 4), (4, 1)))
    for expert in range(8):
        moved = moved_on(boxes(*case), case.dst_shape, 24 * expert)
        assert moved == boxes(*case._replace(dst=case.dst.shifted(24 * expert))) != ()
    assert moved_on(boxes(*case), case.dst_shape, 24 * 8) is None
    assert moved_on(boxes(*case), case.dst_shape, 8) is None, "it would run on into the next expert"


# --- the plain cases: no more boxes than needed ---


def contiguous_slice() -> Case:
    """Rows 4..8 of (12, 5)."""
    return Case((12, 5), View(20, (4, 5), (5, 1)), (4, 5), View(0, (4, 5), (5, 1)))


def row_parallel_slice() -> Case:
    """Columns 2..4 of (5, 6)."""
    return Case((5, 6), View(2, (5, 2), (6, 1)), (5, 2), View(0, (5, 2), (2, 1)))


def gpt2_transposed() -> Case:
    """q of `"hidden, part"`: (hidden 4, 3 parts of 6) into rows 0..6 of (18, 4)."""
    return Case((4, 18), View(0, (6, 4), (1, 18)), (18, 4), View(0, (6, 4), (4, 1)))


def gpt_oss_interleaved() -> Case:
    """gate of `"expert, hidden, ffn.part"`, every second column, into `"expert, ffn.part, hidden"`."""
    return Case((2, 4, 10), View(0, (2, 5, 4), (40, 2, 10)), (2, 10, 4), View(0, (2, 5, 4), (40, 8, 1)))


def heads_in_one_dimension() -> Case:
    """`"head.dim, hidden"` on both sides, told in atoms."""
    return Case((6, 4), View(0, (3, 2, 4), (8, 4, 1)), (6, 4), View(0, (3, 2, 4), (8, 4, 1)))


def conv_with_an_idle_axis() -> Case:
    return Case((6, 1, 4), View(0, (6, 4), (4, 1)), (3, 2, 4), View(0, (6, 4), (4, 1)))


def expert_into_the_stack() -> Case:
    """w1 of expert 1 into (2, 6, 4)."""
    return Case((3, 4), View(0, (3, 4), (4, 1)), (2, 6, 4), View(24, (3, 4), (4, 1)))


def llama4_halves() -> Case:
    """`"head.half.two, hidden"` into `"head.two.half, hidden"`: even rows of a head first, then odd ones."""
    return Case((6, 2), View(0, (2, 3, 2), (2, 4, 1)), (6, 2), View(0, (2, 3, 2), (6, 2, 1)))


@pytest.mark.parametrize(
    ("case", "number", "stepped"),
    [
        (contiguous_slice(), 1, False),
        (row_parallel_slice(), 1, False),
        (gpt2_transposed(), 1, False),
        (gpt_oss_interleaved(), 1, True),
        (heads_in_one_dimension(), 1, False),
        (conv_with_an_idle_axis(), 1, False),
        (expert_into_the_stack(), 1, False),
        (llama4_halves(), 2, True),
    ],
)
def test_plain_copies_take_as_few_boxes_as_can_be(case: Case, number: int, stepped: bool) -> None:
    found = boxes(*case)
    assert len(found) == number
    assert any(step > 1 for box in found for _, _, step in (*box.src, *box.dst)) == stepped
    assert np.array_equal(applied(case, found), copied(case))


def bloom_keys(heads: int, dim: int) -> Case:
    """k of `"head.part, hidden"`, three parts, hidden 5."""
    shape = (heads * 3 * dim, 5)
    source = View(dim * 5, (heads, dim, 5), (3 * dim * 5, 5, 1))
    return Case(shape, source, shape, View(heads * dim * 5, (heads, dim, 5), (dim * 5, 5, 1)))


@pytest.mark.parametrize("heads", [1, 2, 3, 7])
def test_bloom_takes_a_box_for_every_head(heads: int) -> None:
    found = boxes(*bloom_keys(heads, 8))
    assert [box.src[0] for box in found] == [(24 * h + 8, 24 * h + 16, 1) for h in range(heads)]
    assert [box.dst[0] for box in found] == [(8 * (heads + h), 8 * (heads + h) + 8, 1) for h in range(heads)]


def test_with_more_heads_than_positions_in_one_it_is_the_positions_that_are_told_apart() -> None:
    case = bloom_keys(8, 2)
    assert [box.src[0] for box in boxes(*case)] == [(2, 45, 6), (3, 46, 6)]
    assert np.array_equal(applied(case, boxes(*case)), copied(case))


def test_a_flat_range_across_rows_is_no_box() -> None:
    """Elements 4..8 of (4, 6), which end in the second row."""
    case = Case((4, 6), View(4, (4,), (1,)), (4,), View(0, (4,), (1,)))
    assert len(boxes(*case)) > 1
    assert np.array_equal(applied(case, boxes(*case)), copied(case))


# --- refusals ---


def test_views_of_different_extents_are_refused() -> None:
    with pytest.raises(ValueError, match="different extents"):
        boxes((4,), View(0, (4,), (1,)), (4,), View(0, (2,), (1,)))


@pytest.mark.parametrize("view", [View(1, (4,), (1,)), View(0, (4,), (2,)), View(-1, (2,), (1,))])
def test_a_view_that_leaves_its_tensor_is_refused_on_either_side(view: View) -> None:
    inside = View(0, view.sizes, (1,))
    with pytest.raises(ValueError, match="leaves a tensor"):
        boxes((4,), view, (4,), inside)
    with pytest.raises(ValueError, match="leaves a tensor"):
        boxes((4,), inside, (4,), view)


def test_an_empty_view_has_no_boxes() -> None:
    empty = View(0, (0, 3), (3, 1))
    assert boxes((4, 3), empty, (4, 3), empty) == ()


@law
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_unravelling_is_numpys(shape: list[int]) -> None:
    for offset, place in enumerate(product(*map(range, shape))):
        assert unravel(offset, tuple(shape)) == place
    strides = tuple(stride // 8 for stride in np.zeros(shape, dtype=np.int64).strides)
    assert contiguous(tuple(shape)) == strides
