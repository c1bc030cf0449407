"""What a trace may hold that no load ever does, and what is too small or too large to have rows."""

from __future__ import annotations

import pytest

from mappings.plan import plan
from mappings.synth import synthesise
from mappings.views import Ranges, Shape
from tests.mappings.small import bind
from tracer.events import Move
from tracer.slices.picture import SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.spans import Segment


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


@pytest.mark.parametrize("wrong", [(-2, 2, 1), (0, 5, 1), (3, 1, 1), (0, 4, 0), (3, 0, -1)])
def test_a_block_that_leaves_its_tensor_or_runs_backwards_is_refused_and_not_drawn(wrong: tuple[int, int, int]) -> None:
    assert drawn((4,), (4,), (((0, 4, 1),), ((0, 4, 1),))).whole
    for move in (((wrong,), ((0, 4, 1),)), (((0, 4, 1),), (wrong,))):
        assert drawn((4,), (4,), move).refused == "rank 0: a move from t does not lie within p"


def test_what_has_more_positions_than_memory_is_refused_before_any_is_taken() -> None:
    size = 10**13
    found = drawn((size,), (size,), (((0, size, 1),), ((0, size, 1),)))
    assert found.refused == "it has more positions than can be drawn"
