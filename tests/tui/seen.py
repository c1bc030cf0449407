"""The browser as whoever sits before it has it: keys and clicks go in, and what can be read on the screen comes out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual import _wait
from textual.events import Paste
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets._toast import Toast

from tests.tui.subjects import Opened, opened
from tui import arriving
from tui.app import Browser
from tui.model.overview import inference
from tui.widgets.sheet import Sheet

_wait.SLEEP_GRANULARITY, _wait.SLEEP_IDLE = 1 / 200, 1 / 4000
"""A pilot looks three times a key whether everything rests, and slept for most of the tests' time between two looks."""
MOST_WAITING = 300
"""Pauses of ten milliseconds before something that does not come is called missing."""


class Seen:
    """One running browser."""

    def __init__(self, pilot: Pilot[int]) -> None:
        self.pilot = pilot
        assert isinstance(pilot.app, Browser)
        self.app = pilot.app

    # --- what is done ---

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other, and wait until nothing moves."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.press(*text)

    async def paste(self, text: str) -> None:
        """Have the terminal type a text at once."""
        assert self.app.focused is not None
        self.app.focused.post_message(Paste(text))
        await self.pilot.pause()

    async def click(self, text: str, times: int = 1) -> None:
        """Click on the first place of the screen where a text stands."""
        row, column = next((y, line.index(text)) for y, line in enumerate(self.rows) if text in line)
        await self.pilot.click(offset=(column, row), times=times)
        await self.pilot.pause()

    async def until(self, text: str) -> None:
        """Wait for a text that a worker brings."""
        for _ in range(MOST_WAITING):
            if text in self.text:
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"{text!r} never came:\n{self.text}")

    async def closed(self) -> None:
        """Wait for the end of the browser."""
        for _ in range(MOST_WAITING):
            if not self.app.is_running:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it is still open")

    # --- what is seen ---

    @property
    def rows(self) -> list[str]:
        """The lines of the screen."""
        return [strip.text for strip in self.strips]

    @property
    def strips(self) -> list[Strip]:
        """The same with their colours."""
        return self.app.screen._compositor.render_strips()

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(row.rstrip() for row in self.rows)

    @property
    def top(self) -> str:
        """The first line."""
        return self.rows[0]

    @property
    def footer(self) -> str:
        """The last line."""
        return self.rows[-1]

    @property
    def said(self) -> str:
        """The words in the corner that go away by themselves."""
        found = [toast.content_region for toast in self.app.screen.query(Toast)]
        rows = [self.rows[y][r.x : r.right] for r in found for y in range(r.y, r.bottom)]
        return " ".join(" ".join(rows).split())

    @property
    def tab(self) -> str:
        """The page that the line of pages marks."""
        (name,) = re.findall(r" ▸\d (\w+)", self.text)
        return str(name)

    def pane(self, name: str) -> Sheet:
        """The names, the page, or what else is a sheet on this screen."""
        return self.app.screen.query_one(f"#{name}", Sheet)

    def lines(self, name: str) -> list[str]:
        """What one pane shows, without its frame."""
        sheet = self.pane(name)
        region = sheet.content_region
        width, rows = sheet.scrollable_content_region.width, self.rows
        return [rows[y][region.x : region.x + width].rstrip() for y in range(region.y, region.bottom)]

    def read(self, name: str) -> str:
        """The same as one text."""
        return "\n".join(self.lines(name))

    def under_cursor(self, name: str = "names") -> str:
        """The line that is marked in a pane: its background is another one."""
        sheet = self.pane(name)
        style = sheet.get_component_rich_style("sheet--cursor" if sheet.has_focus else "sheet--resting", partial=True)
        strips = [sheet.render_line(y) for y in range(sheet.content_region.height)]
        marked = [
            strip.text.strip() for strip in strips if any(s.style and s.style.bgcolor == style.bgcolor for s in strip)
        ]  # fmt: skip
        assert len(marked) == 1, f"{len(marked)} lines are marked:\n{self.text}"
        return marked[0]

    @property
    def focus(self) -> str | None:
        """What keys go to."""
        return self.app.focused.id if self.app.focused else None

    @property
    def background(self) -> object:
        """The colour behind the names."""
        return self.grounds("names")[-1][1]

    def grounds(self, name: str) -> list[tuple[str, object]]:
        """The lines of a pane, each with the colour behind its first character."""
        region = self.pane(name).content_region
        strips = [strip.crop(region.x, region.right) for strip in self.strips[region.y : region.bottom]]
        return [(strip.text, next(s.style and s.style.bgcolor for s in strip if s.text)) for strip in strips]

    @property
    def clipboard(self) -> str:
        """What was copied."""
        return self.app.clipboard


def browse(
    told: Callable[[Seen], Awaitable[None]], kind: str = "clean", size: tuple[int, int] = (120, 20), **options: Any
) -> None:  # fmt: skip
    """Run a browser of one of the six checkpoints as long as someone looks at it."""
    shown(told, opened(kind), size, **options)


def shown(
    told: Callable[[Seen], Awaitable[None]], what: Opened, size: tuple[int, int] = (120, 20), **options: Any
) -> None:  # fmt: skip
    """The same of anything that was opened."""
    with pytest.MonkeyPatch.context() as patch:
        frozen(patch, what)
        asyncio.run(_look(told, Browser(what.subject.where, **{"tp": what.subject.tp} | options), size))


def frozen(patch: pytest.MonkeyPatch, what: Opened) -> None:
    """Opening takes no time: it was done before."""
    patch.setattr(arriving, "open_subject", lambda where, tp, arrived: arrived(what.subject))
    patch.setattr(inference, "study", lambda subject: what.inference)


async def _look(told: Callable[[Seen], Awaitable[None]], browser: Browser, size: tuple[int, int]) -> None:
    async with browser.run_test(size=size, notifications=True) as pilot:
        seen = Seen(pilot)
        await settled(pilot)
        await told(seen)


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until everything that a browser finds out by itself is on the screen."""
    assert isinstance(pilot.app, Browser)
    while pilot.app.browsing.inference is None:
        await pilot.pause(0.005)
    await pilot.pause()
