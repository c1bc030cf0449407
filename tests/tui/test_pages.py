"""What pages do beyond showing: they unfold, ask, stop, compare and follow; what comes from a file is only shown."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.tui.seen import Seen, browse
from tests.tui.subjects import HOSTILE, folder
from tracer.cli import trace_load
from tui.app import Browser


def test_what_a_finding_explains_is_unfolded_and_folded_again() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3", "tab")
        closed = seen.read("page")
        assert "▸ explains 2 findings" in closed and "shape.mismatch" not in closed.replace("8 shape.mismatch", "")
        for opens, closes in (("space", "space"), ("right", "left"), ("l", "h")):
            await seen.press(opens)
            assert "▾ explains 2 findings" in seen.read("page") and "✗ error    shape.mismatch" in seen.read("page")
            await seen.press(closes)
            assert seen.read("page") == closed

    browse(told, "conflicting", (120, 40))


def test_a_finding_leads_to_its_path_and_back() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("3", "tab", "enter")
        assert seen.tab == "path" and seen.lines("page")[0] == "✗ error  config.conflict"
        await seen.press("backspace")
        assert seen.tab == "findings" and seen.focus == "page"

    browse(told, "conflicting")


def test_much_is_read_only_after_a_question_and_not_to_the_end_if_it_is_stopped() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("v")
        assert "1.85 GB would be read: v once more reads it, Esc does not" in " ".join(seen.read("page").split())
        assert " esc clear" in seen.footer
        await seen.press("escape")
        assert "not read: v reads 1.85 GB" in seen.read("page") and " esc clear" not in seen.footer
        await seen.press("v", "v")
        await seen.until("of 1.85 GB, Esc stops")
        await seen.press("escape")
        await seen.until("stopped after")
        assert "v reads again" in seen.read("page")

    browse(told, "huge", (80, 24))


def test_another_checkpoint_is_named_and_stands_beside() -> None:
    async def told(seen: Seen) -> None:
        await seen.press("D")
        await seen.type(str(folder("broken")))
        await seen.press("enter")
        await seen.until("model.extra.weight")
        assert seen.tab == "compare" and "model.layers.2.mlp.up_proj.weight" in seen.read("page")
        await seen.press("1", "7")
        assert "model.extra.weight" in seen.read("page"), "it is still there"

    browse(told, "clean", (120, 40))


def test_a_load_is_waited_for_and_its_trace_opened_when_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, wanted = tmp_path / "made.db", tmp_path / "wanted.db"
    trace_load([str(folder("clean")), "--tp", "2", "--load-format", "dummy", "--save", str(made)])
    capsys.readouterr()

    async def follow() -> None:
        async with Browser(str(wanted), 1).run_test(size=(120, 30)) as pilot:
            seen = Seen(pilot)
            await seen.until("▸8 follow")
            assert "wanted.db" in seen.top and "╭─ layers" not in seen.text and seen.tab == "follow"
            os.replace(made, wanted)
            await seen.until("╭─ layers 0-3 ×4")
            assert "trace  tp 2" in seen.top.replace(", planned", "")
            await seen.press("8")
            assert seen.tab == "follow"

    asyncio.run(follow())


def test_names_are_shown_as_they_are_and_obeyed_by_nobody() -> None:
    async def told(seen: Seen) -> None:
        for _ in HOSTILE:
            for page in "23456":
                await seen.press(page)
                assert all(line.isprintable() for line in seen.rows)
            await seen.press("y")
            assert all(line.isprintable() for line in seen.rows) and "clipboard: " in seen.said
            await seen.press("down")
        assert "[red]markup[/red].weight" in seen.text and "␛[31mescape␛[0m␍␊␇" in seen.text
        await seen.press("slash")
        await seen.type("[red]")
        assert "markup[/red].weight" in seen.read("names") and "right to left" not in seen.read("names")

    browse(told, "hostile", (160, 24))
