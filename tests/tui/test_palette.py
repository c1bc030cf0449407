"""The palette has everything that keys do, by its words, and the themes."""

from __future__ import annotations

from typing import get_args

import pytest
from textual.widgets import OptionList

from tests.tui.seen import MOST_WAITING, Seen, browse
from tui.app import Browser
from tui.keys import bindings
from tui.model.browsing import PAGES, PageName

PALETTE = "ctrl+p"


async def choose(seen: Seen, words: str) -> None:
    """What is chosen by typing some of its words."""
    await seen.press(PALETTE)
    await taken(seen, words)


async def taken(seen: Seen, words: str) -> None:
    """The first that is found by some words, once something was."""
    await seen.paste(words)
    for _ in range(MOST_WAITING):
        if seen.app.screen.query_one(OptionList).highlighted is not None:
            break
        await seen.pilot.pause(0.01)
    await seen.press("enter")


@pytest.mark.parametrize("page", PAGES)
def test_it_finds_every_page(page: str) -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3" if page != "findings" else "4")
        (binding,) = (each for each in bindings(Browser) if each.id == f"page.{page}")
        await choose(seen, binding.tooltip)
        assert seen.tab == page

    browse(told)


def test_it_finds_themes_and_they_change_the_colours() -> None:
    async def told(seen: Seen) -> None:
        before, text = seen.background, seen.text
        await choose(seen, "theme")
        await seen.until("Search for themes")
        await taken(seen, "textual-light")
        assert seen.background != before and seen.text == text

    browse(told)


def test_escape_leaves_it_and_all_is_as_it_was() -> None:
    async def told(seen: Seen) -> None:
        before = seen.text
        await seen.press(PALETTE)
        assert "Search for commands" in seen.text
        await seen.press("escape")
        assert seen.text == before and seen.focus == "names"

    browse(told)


def test_everything_that_has_a_key_is_in_it() -> None:
    async def told(seen: Seen) -> None:
        commands = {command.help: command.title for command in seen.app.get_system_commands(seen.app.screen)}
        for binding in bindings(Browser):
            if not str(binding.id).startswith("sheet."):
                assert commands[str(binding.id)] == (binding.tooltip or binding.description)

    browse(told)


def test_every_page_has_a_key() -> None:
    assert {f"page.{page}" for page in get_args(PageName)} <= {binding.id for binding in bindings(Browser)}
