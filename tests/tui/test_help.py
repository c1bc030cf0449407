"""The help and the last line say what keys do, those of the user's own too; what stands over the browser keeps them."""

from __future__ import annotations

import re

import pytest
from textual.keys import format_key

from tests.tui.seen import Seen, browse
from tui.app import Browser
from tui.keys import bindings

MINE = {"quit": "x", "help": "f2,h", "sheet.down": "ctrl+n", "sheet.close": "left"}


async def whole_help(seen: Seen) -> str:
    """All of it, however many pages it takes."""
    found: dict[str, None] = {}
    for _ in range(8):
        found |= dict.fromkeys(seen.lines("help"))
        await seen.press("pagedown")
    return "\n".join(found)


def test_every_binding_is_in_the_help_with_its_keys() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("f1")
        shown = await whole_help(seen)
        for binding in bindings(Browser):
            keys = ", ".join(format_key(key) for key in binding.key.split(","))
            assert re.search(
                rf"^ *{re.escape(keys)} +{re.escape(binding.tooltip or binding.description)}$", shown, re.M
            )

    browse(told, size=(100, 24))


def test_keys_of_ones_own_do_what_they_are_for_and_stand_in_the_help_and_in_the_last_line() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("ctrl+n")
        assert seen.under_cursor().startswith("▾ model")
        await seen.press("j", "q", "question_mark")
        assert seen.under_cursor().startswith("▾ model") and seen.focus == "names" and seen.app.is_running
        assert " x quit" in seen.footer and " q quit" not in seen.footer
        await seen.press("h")
        shown = await whole_help(seen)
        assert re.search(r"^ *x +quit$", shown, re.M) and re.search(r"^ *f2, h +these keys$", shown, re.M)
        await seen.press("f2")
        assert seen.focus == "names"
        await seen.press("x")
        await seen.closed()

    browse(told, size=(100, 24), keymap=MINE)


@pytest.mark.parametrize("opened", ["f1", "D", "ctrl+p"])
def test_what_stands_over_the_browser_keeps_all_keys_until_it_is_closed(opened: str) -> None:
    async def told(seen: Seen) -> None:
        before = seen.text
        await seen.press(opened)
        over = seen.focus
        await seen.press("slash", "tab", "n", "1", "b", "z")
        assert seen.app.screen_stack[-1] is not seen.app.screen_stack[0] and over != "names"
        await seen.press("escape")
        if len(seen.app.screen_stack) > 1:  # the palette first forgets what was typed
            await seen.press("escape")
        assert seen.text == before and seen.focus == "names"

    browse(told, "broken")


@pytest.mark.parametrize("key", ["escape", "q", "question_mark", "f1"])
def test_the_help_is_closed_by_what_opens_it_and_by_escape(key: str) -> None:
    async def told(seen: Seen) -> None:
        before = seen.text
        await seen.press("f1")
        assert seen.footer.split() == ["esc", "close"]
        await seen.press(key)
        assert seen.text == before

    browse(told)


def test_the_last_line_says_only_what_keys_do_now() -> None:
    async def told(seen: Seen) -> None:
        assert "esc" not in seen.footer and " q quit" in seen.footer
        await seen.press("slash")
        assert seen.footer.split()[:2] == ["esc", "clear"] and "search" not in seen.footer and "quit" not in seen.footer
        await seen.press("k", "enter")
        assert " esc clear" in seen.footer and "/ search" in seen.footer

    browse(told)
