"""The line of pages at every width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.model.browsing import PAGES
from tui.model.columns import wide
from tui.model.line import Target, plain
from tui.model.tabs import tabs

ALL = (*PAGES, "follow")


@pytest.mark.parametrize("names", [PAGES, ALL])
@given(st.data())
def test_every_page_has_its_key_where_there_is_room_and_the_open_one_its_mark(
    names: tuple[str, ...], data: st.DataObject
) -> None:
    here, width = data.draw(st.sampled_from(names)), data.draw(st.integers(1, 200))
    line = tabs(names, here, width)
    assert wide(plain(line)) <= width
    led = [span.target for span in line if span.target and span.text]
    assert led == [Target("page", name) for name in names[: len(led)]]
    if width >= 40:
        assert len(led) == len(names) and f"▸{names.index(here) + 1} {here}" in plain(line)
        assert [span.role for span in line] == ["held" if name == here else "dim" for name in names]
    if width >= 100:
        assert plain(line).split() == [
            word for number, name in enumerate(names, 1)
            for word in (f"▸{number}" if name == here else str(number), name)
        ]  # fmt: skip


def test_a_page_that_is_no_tab_marks_none() -> None:
    assert "▸" not in plain(tabs(PAGES, "follow", 120))
