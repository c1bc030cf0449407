"""What is seen first of six checkpoints, at three sizes, in a dark and a light theme, as pictures.

A change that is meant is looked at and then taken over: `pytest tests/tui/test_snapshots.py --snapshot-update`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from tests.tui.seen import frozen, settled
from tests.tui.subjects import WRITERS, Opened, opened
from tui.app import Browser

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
def test_it_looks_like_this(
    kind: str, size: tuple[int, int], theme: str, snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(monkeypatch, named(kind))

    async def begin(pilot: Pilot[int]) -> None:
        pilot.app.theme = THEMES[theme]
        await settled(pilot)
        await pilot.press(*KEYS.get(kind, ()))
        await pilot.pause()

    assert snap_compare(Browser(kind, 2), terminal_size=size, run_before=begin)
