"""What threads bring comes in its order, whatever keys were pressed meanwhile; it may also come late, or be nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tui.seen import Seen, browse, settled
from tests.tui.subjects import folder
from tests.tui.with_nan import with_nan
from tracer.live import Live
from tracer.outputs import partial_of
from tracer.standing import Share
from tui.app import Browser
from tui.model import comparing
from tui.model.overview import inference

UP = "model.layers.1.mlp.up_proj.weight"
SLOW = 0.4


def browsed(where: Path, told: Callable[[Seen], Awaitable[None]], size: tuple[int, int] = (120, 30)) -> None:
    """In a browser that opens it itself."""

    async def look() -> None:
        async with Browser(str(where)).run_test(size=size, notifications=True) as pilot:
            await told(Seen(pilot))

    asyncio.run(look())


def test_what_values_have_shown_stands_in_the_tree_and_at_the_top_and_keys_go_on(tmp_path: Path) -> None:
    async def told(seen: Seen) -> None:
        await settled(seen.pilot)
        await seen.press("slash")
        await seen.type("1 up_proj")
        await seen.press("enter", "escape", "v")
        await seen.until("✗ 1 error")
        assert seen.under_cursor().startswith("✗ mlp.up_proj.weight") or "✗" in seen.under_cursor()
        await seen.press("end", "space", "home", "space", "n")
        assert seen.lines("page")[0] == "✗ error  value.nonfinite"
        await seen.press("3")
        said = " ".join(seen.read("page").split())
        assert re.search(r"values: those of 1 of \d+ tensors were read here; else headers only", said)

    browsed(with_nan(tmp_path, UP), told)


def test_a_comparison_that_was_asked_for_first_does_not_replace_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = str(folder("broken")), str(folder("quantised"))
    beside = comparing.beside

    def slow(subject: Any, other: str) -> comparing.Compared:
        if other == first:
            time.sleep(SLOW)
        return beside(subject, other)

    monkeypatch.setattr(comparing, "beside", slow)

    async def told(seen: Seen) -> None:
        for other in (first, second):
            await seen.press("D")
            await seen.paste(other)
            await seen.press("enter")
        await seen.until("GPTQ 4 bit")
        await seen.pilot.pause(2 * SLOW)
        state = seen.app.browsing
        assert "GPTQ 4 bit" in seen.read("page") and state.comparing is not None and state.comparing.other == second
        assert state.values.other is not None and state.values.other.files.title == second

    browse(told, "clean", (120, 40))


def test_a_load_that_failed_and_left_nothing_is_told_until_one_quits(tmp_path: Path) -> None:
    live = Live(partial_of(tmp_path / "run.db"))
    live.standing.model, live.standing.tp = "m", 1
    live.begin([Share(0, 10, 1000)])

    async def told(seen: Seen) -> None:
        await seen.until("… following a load")
        live.end("failed", "rank 0: out of memory")
        await seen.until("rank 0: out of memory")
        await seen.until("the load left no trace")
        await seen.pilot.pause(0.5)
        assert seen.app.is_running and not seen.app.failed and "rank 0: out of memory" in seen.text
        await seen.pilot.press("q")
        await seen.closed()

    browsed(tmp_path / "run.db", told)


def test_what_cannot_be_studied_any_more_is_said_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(subject: Any) -> inference.Inference:
        raise FileNotFoundError(2, "No such file or directory", "adapter_config.json")

    monkeypatch.setattr(inference, "study", gone)

    async def told(seen: Seen) -> None:
        await settled(seen.pilot)
        assert "No such file or directory: adapter_config.json" in " ".join(seen.read("page").split())

    browsed(folder("clean"), told)


def test_of_a_finding_the_name_that_it_is_about_is_copied() -> None:
    async def told(seen: Seen) -> None:
        assert seen.lines("page")[0] == "✗ error  tensor.unmapped"
        await seen.press("y")
        assert seen.clipboard == "model.extra.weight" and seen.said.endswith("clipboard: model.extra.weight")

    browse(told, "broken")


def test_a_cursor_at_the_end_of_a_page_that_becomes_shorter_stays_on_it() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3", "tab", "G")
        narrow = seen.pane("page").count
        await seen.press("z")
        assert seen.pane("page").count < narrow, "wider lines are fewer"
        await seen.press("enter", "space", "up")
        assert seen.app.is_running

    browse(told, "conflicting", (104, 24))
