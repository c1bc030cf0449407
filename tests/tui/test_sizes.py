"""Three layouts by the number of columns, and any of them can be reached by pulling at the window."""

from __future__ import annotations

import pytest

from tests.tui.seen import Seen, browse

ROWS = 24


def frames(seen: Seen) -> list[int]:
    """How many panes begin in each row of the screen that has any."""
    return [row.count("╭") for row in seen.rows if row.startswith("╭") or "│╭" in row]


def test_from_100_columns_on_panes_stand_side_by_side() -> None:
    async def told(seen: Seen) -> None:
        assert seen.pane("names").region.y < seen.pane("page").region.bottom
        assert seen.pane("names").region.right <= seen.pane("page").region.x
        assert "lm_head" in seen.text and "╭─ layers 0-3" in seen.text

    browse(told, "clean", (100, ROWS))


def test_below_100_columns_they_stand_above_each_other() -> None:
    async def told(seen: Seen) -> None:
        assert seen.pane("names").region.bottom < seen.pane("page").region.y
        assert {seen.pane(name).region.width for name in ("names", "page")} == {99}
        assert "lm_head" in seen.text and "╭─ layers 0-3" in seen.text

    browse(told, "clean", (99, ROWS))


def test_below_60_columns_there_is_one_pane_and_tab_turns_to_the_other() -> None:
    async def told(seen: Seen) -> None:
        names = seen.text
        assert frames(seen) == [1] and "norm.weight" in names and "overview" not in names
        await seen.press("tab")
        assert seen.focus == "page" and seen.tab == "overview" and "╭─ layers 0-3" in seen.text
        assert "norm.weight" not in seen.text
        await seen.press("tab")
        assert seen.text == names and seen.focus == "names"

    browse(told, "clean", (59, ROWS))


@pytest.mark.parametrize("key", ["1", "3", "n", "enter"])
def test_where_there_is_one_pane_a_key_that_leads_to_a_page_turns_to_it(key: str) -> None:
    async def told(seen: Seen) -> None:
        await seen.press(key)
        assert seen.focus == "page" and seen.pane("page").region.width == 50
        await seen.press("tab")
        assert seen.focus == "names" and "lm_head" in seen.text

    browse(told, "broken", (50, ROWS))


@pytest.mark.parametrize(("key", "name"), [("slash", "lm_head"), ("b", "q_proj.weight"), ("f", "model.extra.weight")])
def test_where_there_is_one_pane_a_key_that_is_about_names_turns_to_them(key: str, name: str) -> None:
    async def told(seen: Seen) -> None:
        await seen.press("tab", key)
        assert seen.pane("names").region.width == 50 and name in seen.text
        await seen.press("escape")
        assert seen.focus == "names" and "lm_head" in seen.text if key != "b" else name in seen.text

    browse(told, "broken", (50, ROWS))


def test_a_zoomed_pane_gives_way_to_the_one_that_a_key_is_about() -> None:
    async def told(seen: Seen) -> None:
        both = seen.text
        await seen.press("z")
        assert len(frames(seen)) == 1
        await seen.press("n", "n")
        assert seen.text == both
        await seen.press("tab", "z", "slash")
        assert "extra.weight" in seen.text and seen.focus == "search"
        await seen.press("escape")
        assert "extra.weight" in seen.text and seen.focus == "names"

    browse(told, "broken", (120, ROWS))


def test_a_window_that_was_pulled_looks_like_one_that_was_opened_so() -> None:
    """Through all layouts and back, with each pane having the keys."""
    sizes = [(120, 30), (80, 24), (50, 20), (160, 40), (99, 24), (120, 30)]
    fresh: dict[tuple[str, tuple[int, int]], str] = {}

    def opened_with(keys: str, size: tuple[int, int]) -> None:
        async def told(seen: Seen) -> None:
            if keys:
                await seen.press(keys)
            fresh[keys, size] = seen.text

        browse(told, "clean", size)

    for keys in ("", "tab"):
        for size in dict.fromkeys(sizes):
            opened_with(keys, size)

        async def pulled(seen: Seen, keys: str = keys) -> None:
            if keys:
                await seen.press(keys)
            for size in sizes:
                await seen.pilot.resize_terminal(*size)
                await seen.pilot.pause()
                assert seen.text == fresh[keys, size], size

        browse(pulled, "clean", sizes[0])


def test_a_window_of_any_size_shows_something_and_nothing_breaks() -> None:
    async def told(seen: Seen) -> None:
        for size in ((20, 6), (10, 4), (3, 3), (1, 1), (500, 3), (120, 30)):
            await seen.pilot.resize_terminal(*size)
            await seen.press("n", "j", "1", "2")
        assert "path" in seen.tab

    browse(told, "broken", (120, 30))
