"""Cells of a line: nothing is wider than its room, nothing is lost where there is room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.model.columns import both, cut, cut_start, fitted, left, right, wide
from tui.model.lazy import Lazy
from tui.model.line import Span, plain

TEXTS = st.text(st.sampled_from("abz._0 …é漢字テ"), max_size=40)
ROOMS = st.integers(0, 60)


@given(TEXTS)
def test_a_text_is_as_wide_as_the_terminal_makes_it(text: str) -> None:
    assert wide(text) == cell_len(text)


@given(TEXTS, ROOMS)
def test_what_has_room_is_whole_and_what_has_none_is_cut_at_one_end_and_marked(text: str, room: int) -> None:
    for short, kept in ((cut(text, room), text.startswith), (cut_start(text, room), text.endswith)):
        assert wide(short) <= room
        if wide(text) <= room:
            assert short == text
        elif room:
            assert "…" in short and kept(short.removesuffix("…") if kept == text.startswith else short[1:])
            assert wide(short) >= room - 1, "a wide character may leave one cell"


@given(TEXTS, ROOMS)
def test_a_cell_is_exactly_as_wide_as_its_room(text: str, room: int) -> None:
    for cell in (left(Span(text, "name"), room), right(Span(text, "name"), room)):
        assert wide(cell.text) == room and cell.role == "name"
        assert cut(text, room).strip() == cell.text.strip()


@given(st.lists(TEXTS, max_size=5), ROOMS)
def test_spans_are_taken_from_the_left(texts: list[str], room: int) -> None:
    line, whole = fitted(map(Span, texts), room), "".join(texts)
    assert wide(plain(line)) <= room
    assert plain(line) == whole if wide(whole) <= room else whole.startswith(plain(line).removesuffix("…"))


@given(st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=3), st.integers(1, 90))
def test_of_two_edges_the_left_gives_way(start: list[str], end: list[str], width: int) -> None:
    line, tail = plain(both([*map(Span, start)], [*map(Span, end)], width)), "".join(end)
    assert wide(line) <= width
    if wide(tail) < width:
        assert wide(line) == width and line.endswith(tail)
    if wide("".join(start)) + wide(tail) < width:
        assert line.startswith("".join(start))


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(-40, 40), st.slices(30))
def test_a_lazy_sequence_is_the_list_that_it_would_be(count: int, at: int, piece: slice) -> None:
    made: list[int] = []
    lazy = Lazy(count, lambda n: made.append(n) or n * n)  # type: ignore[func-returns-value]
    squares = [n * n for n in range(count)]
    assert len(lazy) == count and not made
    assert lazy[piece] == squares[piece] and made == list(range(count)[piece])
    assert list(lazy) == squares
    if -count <= at < count:
        assert lazy[at] == squares[at]
