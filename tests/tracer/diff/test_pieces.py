"""Sets of elements, compared in bounded memory, against moving each element by itself."""

from __future__ import annotations

import tracemalloc
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from mappings.views import Box, Range
from tracer.diff.loads.pieces import MOST_ELEMENTS, same_elements

SHAPE = (4, 5, 6)
BESIDE = (6, 4, 5)


def moves(box: Box) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every element's place in the source and in the destination, one by one: transposed, then in order."""
    perm = box.perm or tuple(range(len(box.src)))
    sources = product(*(range(*box.src[dim]) for dim in perm))
    targets = product(*(range(*found) for found in box.dst))
    order = [perm.index(dim) for dim in range(len(perm))]
    return {(tuple(source[at] for at in order), target) for source, target in zip(sources, targets, strict=True)}


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A block of SHAPE, with steps, whose dimensions go round by one."""
    src: list[Range] = []
    for size in SHAPE:
        start = draw(st.integers(0, size - 1))
        src.append((start, draw(st.integers(start + 1, size)), draw(st.integers(1, 3))))
    perm = (2, 0, 1)
    dst = tuple((0, len(range(*src[dim])), 1) for dim in perm)
    return Box(tuple(src), dst, perm)


@given(st.lists(boxes(), min_size=1, max_size=3), st.lists(boxes(), min_size=1, max_size=3))
def test_two_sets_are_the_same_just_if_each_element_is(one: list[Box], other: list[Box]) -> None:
    wanted = set().union(*map(moves, one)) == set().union(*map(moves, other))
    assert same_elements(one, other, SHAPE, BESIDE, BESIDE) is wanted
    assert same_elements(one, [*one[::-1], one[0]], SHAPE, BESIDE, BESIDE) is True, "twice is once"


def test_memory_is_bounded_by_eight_bytes_an_element_and_a_few_pieces() -> None:
    side = 2_048
    rows = [
        Box(((at, at + 256, 1), (0, side, 1)), ((at, at + 256, 1), (0, side, 1)), None) for at in range(0, side, 256)
    ]
    columns = [
        Box(((0, side, 1), (at, at + 64, 1)), ((0, side, 1), (at, at + 64, 1)), None) for at in range(0, side, 64)
    ]
    tracemalloc.start()
    try:
        assert same_elements(rows, columns, (side, side), (side, side), (side, side)) is True
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    pieces = 32 << 20
    assert peak <= 8 * side * side + pieces
    assert 8 * MOST_ELEMENTS + pieces <= 200 << 20


def test_a_block_that_changes_its_size_on_the_way_is_the_same_as_none() -> None:
    odd = Box(((0, 4, 1),), ((0, 6, 1),), None)
    assert same_elements([odd], [odd, odd], (8,), (8,), (8,)) is False


def test_what_no_number_of_64_bits_counts_is_not_looked_at() -> None:
    one = Box(((0, 1, 1),), ((0, 1, 1),), None)
    assert same_elements([one], [one, one], (1 << 32,), (1 << 32,), (1 << 32,)) is None
