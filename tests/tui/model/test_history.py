"""Back and forward, against a browser's two piles: what was left, and what was left by going back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.model.history import History, Place
from tui.model.line import Target

PLACES = [Place(page, focus) for page in ("path", "config") for focus in (None, Target("tensor", "a"))]


@given(st.lists(st.sampled_from([*PLACES, -1, 1]), max_size=30))
def test_it_is_two_piles(moves: list[Place | int]) -> None:
    history = History()
    behind: list[Place] = []
    here: Place | None = None
    ahead: list[Place] = []
    for move in moves:
        if isinstance(move, Place):
            history.visit(move)
            if move != here:
                behind, here, ahead = [*behind, here] if here else behind, move, []
            continue
        place = history.step(move)
        source, other = (behind, ahead) if move < 0 else (ahead, behind)
        if source and here:
            other.append(here)
            here = source.pop()
            assert place == here
        else:
            assert place is None
        assert history.places == [*behind, *([here] if here else []), *reversed(ahead)]


@given(st.lists(st.sampled_from(PLACES), min_size=1), st.integers(0, 9), st.sets(st.sampled_from(PLACES)))
def test_places_that_are_gone_are_forgotten_and_one_stands_where_one_stood(
    visited: list[Place], back: int, gone: set[Place]
) -> None:
    history = History()
    for place in visited:
        history.visit(place)
    for _ in range(back):
        history.step(-1)
    before, here = list(history.places), history.at
    history.revise(lambda place: None if place in gone else place)
    assert history.places == [place for place in before if place not in gone]
    assert history.places[: history.at + 1] == [place for place in before[: here + 1] if place not in gone]


def test_nobody_has_been_anywhere_to_begin_with() -> None:
    assert History().step(-1) is None and History().step(1) is None and History().step(0) is None
