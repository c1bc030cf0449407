"""What a trace may hold that no load ever does, and what is too small or too large to have rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.plan import plan
from mappings.synth import synthesise
from mappings.views import Ranges, Shape
from tests.mappings.small import bind
from tracer.events import Move
from tracer.report.html import pictures as html
from tracer.slices.picture import SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.spans import Segment
from tui.model.line import plain
from tui.model.slicemap.drawing import map_lines


class Told(Placed):
    """One parameter, one tensor and one move a rank."""

    def __init__(self, own: Shape, stored: Shape, *moves: tuple[Ranges, Ranges]) -> None:
        binding = bind("llama tied")
        super().__init__(plan(binding, synthesise(binding)), len(moves))
        self.own, self.stored = own, stored
        self.told = [Move(rank, "t", "row", None, "p", *move, None, None) for rank, move in enumerate(moves)]

    def into(self, param: str, expert: int | None = None) -> list[Move]:
        return self.told

    def shape(self, param: str, rank: int) -> Shape:
        return self.own

    def tensor_shape(self, tensor: str) -> Shape:
        return self.stored


def drawn(own: Shape, stored: Shape, *moves: tuple[Ranges, Ranges]) -> SliceMap:
    return picture(Told(own, stored, *moves), "p")


def test_a_single_number_without_dimensions_is_drawn_as_a_list_of_one() -> None:
    (band,) = drawn((), (), ((), ()), ((), ())).bands
    assert band.segments == (Segment(0, 1, (0, 1)),)
    (band,) = drawn((3,), (), ((), ((0, 1, 1),)), ((), ((2, 3, 1),))).bands
    assert [share.landing for share in band.shares] == [((0, 1),), ((2, 3),)]


def test_a_single_number_is_told_as_one_with_the_ranks_that_hold_it() -> None:
    every, third = drawn((), (), ((), ()), ((), ())), drawn((), (5,), (((3, 4, 1),), ()))
    assert every.number and every.holding == [0, 1]
    lines = [plain(line).strip() for line in map_lines(every, 1, 80)]
    assert lines[0] == "one number, whole on every rank: replicated, not cut"
    assert any(line.endswith("│ one number") for line in lines) and any("ranks 0, 1" in line for line in lines)
    assert any("│ elements 3:4 -> one number" in plain(line) for line in map_lines(third, 0, 80))
    on_page = html.drawn(every, range(2))
    assert on_page and on_page.notes == ["one number, which every rank holds"] and not on_page.rows
    alone = replace(every, bands=(replace(every.bands[0], segments=(Segment(0, 1, (1,)),)),))
    on_page = html.drawn(alone, range(2))
    assert on_page and on_page.notes == ["one number, on rank 1 alone"]


def test_a_list_of_one_is_not_a_single_number() -> None:
    assert not drawn((1,), (), ((), ((0, 1, 1),))).number and not drawn((0,), (0,), (((0, 0, 1),), ((0, 0, 1),))).number


@pytest.mark.parametrize("wrong", [(-2, 2, 1), (0, 5, 1), (3, 1, 1), (0, 4, 0), (3, 0, -1)])
def test_a_block_that_leaves_its_tensor_or_runs_backwards_is_refused_and_not_drawn(wrong: tuple[int, int, int]) -> None:
    assert drawn((4,), (4,), (((0, 4, 1),), ((0, 4, 1),))).whole
    for move in (((wrong,), ((0, 4, 1),)), (((0, 4, 1),), (wrong,))):
        assert drawn((4,), (4,), move).refused == "rank 0: a move from t does not lie within p"


def test_what_has_more_positions_than_memory_is_refused_before_any_is_taken() -> None:
    size = 10**13
    found = drawn((size,), (size,), (((0, size, 1),), ((0, size, 1),)))
    assert found.refused == "it has more positions than can be drawn"
