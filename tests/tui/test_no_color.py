"""With NO_COLOR nothing has a colour, and everything can still be told apart: by signs, words and shades."""

from __future__ import annotations

import pytest
from rich.color_triplet import ColorTriplet

from tests.tui.seen import Seen, browse

SCREENS = ((), ("3",), ("4",), ("6",), ("n", "n"), ("b",), ("f1",))
"""What is pressed before one looks."""


def colours(seen: Seen) -> set[ColorTriplet]:
    """All colours on the screen, in front and behind."""
    styles = [segment.style for strip in seen.strips for segment in strip if segment.style]
    found = [colour for style in styles for colour in (style.color, style.bgcolor) if colour is not None]
    return {colour.get_truecolor() for colour in found}


@pytest.mark.parametrize("keys", SCREENS, ids=" ".join)
def test_it_says_the_same_without_a_single_colour(keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, str] = {}

    async def look(seen: Seen, how: str) -> None:
        await seen.press(*keys)
        shown[how] = seen.text
        grey = {red == green == blue for red, green, blue in colours(seen)}
        assert grey == ({True} if how == "grey" else {True, False})

    browse(lambda seen: look(seen, "coloured"), "broken")
    monkeypatch.setenv("NO_COLOR", "1")
    browse(lambda seen: look(seen, "grey"), "broken")
    assert shown["grey"] == shown["coloured"]


def test_the_cursor_the_page_and_what_is_wrong_are_told_by_shades_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(seen: Seen) -> None:
        assert seen.under_cursor().startswith("✗ extra.weight") and seen.tab == "path"
        assert "✗ 2 errors" in seen.top and "· 2 not checked" in seen.top and "✓ 4 ok" in seen.top
        grounds = dict(seen.grounds("names"))
        assert len(set(grounds.values())) == 2, "one line is marked"

    monkeypatch.setenv("NO_COLOR", "1")
    browse(told, "broken")


def test_the_picture_of_a_matrix_is_made_of_shades_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(seen: Seen, colour: bool) -> None:
        await seen.press("down", "down", "v")
        await seen.until("histogram")
        await seen.press("tab", "end")
        assert ("▀" in seen.read("page")) == colour

    browse(lambda seen: told(seen, True), size=(120, 40))
    monkeypatch.setenv("NO_COLOR", "1")
    browse(lambda seen: told(seen, False), size=(120, 40))
