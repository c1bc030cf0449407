"""Sentences on several lines: nothing is lost, and nothing is wider than its room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.model.columns import wide
from tui.model.line import plain
from tui.model.wrapped import paragraph, wrap

TEXTS = st.text(st.sampled_from("ab.é漢 \n"), max_size=120)


@given(TEXTS, st.integers(1, 60))
def test_what_is_wrapped_can_be_put_together_again(text: str, room: int) -> None:
    lines = list(wrap(text.replace("\n", " "), room))
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(0 < wide(line) <= max(room, 8) for line in lines)


@given(TEXTS.filter(str.strip), st.integers(20, 60))
def test_further_lines_stand_below_where_the_first_began(text: str, width: int) -> None:
    for number, line in enumerate(paragraph(text.replace("\n", " "), width, "fix: ")):
        assert plain(line).startswith("fix: " if number == 0 else "     ") and wide(plain(line)) <= width
