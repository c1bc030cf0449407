"""A damaged trace before whoever opens it, or names it to be compared with: one line, and nothing of a traceback."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.tui.model.material import trace
from tests.tui.seen import Seen
from tests.tui.subjects import folder
from tests.tui.terminal import BROWSE, Terminal
from tui.app import Browser

Damage = Callable[[Path, Path], None]
OTHER = "CREATE TABLE other (value TEXT)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trace(folder("clean"), 2, tmp_path_factory.mktemp("traces") / "sound.db")


def half(sound: Path, path: Path) -> None:
    data = sound.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def another_database(sound: Path, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(OTHER)


def without_a_page(sound: Path, path: Path) -> None:
    data = sound.read_bytes()
    path.write_bytes(data[:-4096] + bytes(4096))


DAMAGES: list[Damage] = [half, another_database, without_a_page]


def test_opened_it_is_one_line_and_status_2(sound: Path, tmp_path: Path) -> None:
    half(sound, tmp_path / "t.db")
    with Terminal([*BROWSE, str(tmp_path / "t.db")]) as terminal:
        assert terminal.ended() == 2
        assert len([line for line in terminal.told if line.startswith("tracer: ")]) == 1
        assert "t.db: " in " ".join(terminal.told) and "Traceback" not in " ".join(terminal.told)
        assert terminal.as_before


@pytest.mark.parametrize("damage", DAMAGES)
def test_opened_it_ends_the_browser_with_its_name(damage: Damage, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    damage(sound, path)

    async def look() -> None:
        browser = Browser(str(path))
        async with browser.run_test() as pilot:
            await Seen(pilot).closed()
        assert browser.return_value == 2 and str(path) in browser.failed and "\n" not in browser.failed

    asyncio.run(look())


def test_named_to_be_compared_with_it_is_told_on_the_page_and_one_goes_on(sound: Path, tmp_path: Path) -> None:
    for number, damage in enumerate(DAMAGES):
        damage(sound, tmp_path / f"{number}.db")

    async def look() -> None:
        browser = Browser(str(sound))
        async with browser.run_test(size=(160, 30)) as pilot:
            seen = Seen(pilot)
            await seen.until("✓")
            for number in range(len(DAMAGES)):
                await seen.press("D")
                await seen.paste(str(tmp_path / f"{number}.db"))
                await seen.press("enter")
                await seen.until(f"{number}.db: ")
                assert seen.tab == "compare" and seen.lines("page")[0].startswith("✗ ")
            await seen.press("1")
            assert seen.tab == "overview" and browser.is_running

    asyncio.run(look())
