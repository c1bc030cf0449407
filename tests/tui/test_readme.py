"""What the README says of the browser against the browser: the screen that it shows, and the keys that it names."""

from __future__ import annotations

import asyncio
import re

from textual.keys import _character_to_key

from tests.test_docs import README
from tests.tui.seen import Seen, settled
from tui.app import Browser
from tui.keys import bindings

BROWSE = README.split("## Browse")[1].split("\n## ")[0]
SCREEN = BROWSE.split("```\n")[1].splitlines()
ELSEWHERE = {"Enter": "enter", "Escape": "escape"}
"""Keys that are named without backticks."""


def test_the_screen_that_the_readme_shows_is_what_is_seen() -> None:
    async def look() -> list[str]:
        browser = Browser(None, 2)
        async with browser.run_test(size=(110, 40)) as pilot:
            await settled(pilot)
            await pilot.press("slash", *"k_proj", "enter")
            await pilot.pause()
            return Seen(pilot).text.splitlines()

    shown, told = asyncio.run(look()), SCREEN[: SCREEN.index("...")]
    assert shown[: len(told)] == told


def test_every_key_that_the_readme_names_does_what_is_said_there_and_is_bound() -> None:
    keys = {key for binding in bindings(Browser) for key in binding.key.split(",")}
    named = re.findall(r"`([^`\s])`", BROWSE) + [key for word, key in ELSEWHERE.items() if word in BROWSE]
    assert len(named) > 10
    assert {_character_to_key(key) if len(key) == 1 else key for key in named} <= keys


def test_the_table_of_keys_is_what_the_program_prints() -> None:
    """Where there is one, between two marks."""
    for table in re.findall(r"<!-- keys -->\n(.*?)<!-- keys -->", README, re.DOTALL):
        rows = {tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in table.strip().splitlines()[2:]}
        assert rows == {
            (binding.id, binding.key, binding.tooltip or binding.description) for binding in bindings(Browser)
        }
