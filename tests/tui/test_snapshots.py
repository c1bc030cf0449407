"""What is seen first of six checkpoints, at three sizes, in a dark and a light theme, as pictures.

A change that is meant is looked at and then taken over: `UPDATE_PICTURES=1 pytest tests/tui/test_snapshots.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tui.seen import frozen, settled
from tests.tui.subjects import WRITERS, Opened, opened
from tui.app import Browser

PICTURES = Path(__file__).parent / "pictures"
SIZES = ((80, 24), (120, 40), (200, 60))
THEMES = {"dark": "textual-dark", "light": "textual-light"}
KEYS: dict[str, Sequence[str]] = {"huge": ("slash", *"experts.3.up 30", "enter", "escape"), "quantised": ("4",)}
"""What is pressed before; the others show what they begin with."""


def named(kind: str) -> Opened:
    """The checkpoint without the folder that it lies in, which is another one each time."""
    found = opened(kind)
    return replace(found, subject=replace(found.subject, where=kind, title=kind))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("kind", WRITERS)
def test_it_looks_like_this(kind: str, size: tuple[int, int], theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(monkeypatch, named(kind))
    drawn = asyncio.run(picture(kind, size, THEMES[theme]))
    kept = PICTURES / f"{kind}-{size[0]}x{size[1]}-{theme}.svg"
    if os.environ.get("UPDATE_PICTURES"):
        kept.write_text(drawn, encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == drawn


async def picture(kind: str, size: tuple[int, int], theme: str) -> str:
    """What the terminal shows, as SVG; the number that it is called by within is another one for each picture."""
    browser = Browser(kind, 2)
    async with browser.run_test(size=size) as pilot:
        browser.theme = theme
        await settled(pilot)
        await pilot.press(*KEYS.get(kind, ()))
        await pilot.pause()
        return re.sub(r"terminal-[0-9a-f]+", "terminal", browser.export_screenshot())
