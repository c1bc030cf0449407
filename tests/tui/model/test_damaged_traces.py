"""A trace whose file is damaged: one line that names it, or pages that can be drawn; also when that comes later."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from fixtures import small_checkpoint
from tests.tui.model.material import subject, trace
from tests.tui.model.pages import prose, text
from tracer.cli import main
from tracer.errors import InputError
from tracer.reading import open_trace
from tui.model.browsing import PAGES, Browsing
from tui.model.comparing import beside
from tui.model.line import Target
from tui.model.subject import Subject

PAGE = 4096
NAME = "model.layers.0.self_attn.k_proj.weight"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    small_checkpoint.sound(folder)
    return trace(folder, 2, tmp_path_factory.mktemp("traces") / "sound.db")


def some_bytes(data: bytearray, random: Random) -> bytes:
    for _ in range(random.choice([1, 10, 100])):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def one_page(data: bytearray, random: Random) -> bytes:
    start = PAGE * random.randrange(1, len(data) // PAGE)
    data[start : start + PAGE] = random.choice([bytes(PAGE), random.randbytes(PAGE)])
    return bytes(data)


def two_pages(data: bytearray, random: Random) -> bytes:
    one, other = (slice(PAGE * n, PAGE * (n + 1)) for n in random.sample(range(1, len(data) // PAGE), 2))
    data[one], data[other] = data[other], data[one]
    return bytes(data)


def cut(data: bytearray, random: Random) -> bytes:
    return bytes(data[: random.randrange(16, len(data))])


def letters(data: bytearray, random: Random) -> bytes:
    places = [at for at in range(2 * PAGE, len(data)) if data[at : at + 1].isalnum()]
    for at in random.sample(places, random.choice([1, 10])):
        data[at] = random.randrange(33, 127)
    return bytes(data)


DAMAGES: Mapping[str, Callable[[bytearray, Random], bytes]] = {
    "bytes": some_bytes, "page": one_page, "pages": two_pages, "cut": cut, "letters": letters,
}  # fmt: skip


def drawn(found: Subject) -> None:
    """Every page of the first tensor, of the last, and of the first finding."""
    browsing = Browsing(found.where, 1)
    browsing.arrived(found)
    names = [Target("tensor", info.name) for info in (*found.tensors[:1], *found.tensors[-1:])]
    for target in [*names, *[Target("finding", "0") for _ in found.findings[:1]]]:
        browsing.go(target)
        for browsing.page in PAGES:
            assert text(browsing.shown(), 100).strip()
    assert browsing.names().lines(60)


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_damaged_is_one_line_or_can_be_drawn(damage: str, sound: Path, tmp_path: Path) -> None:
    path, random, refused = tmp_path / "t.db", Random(damage), 0
    for _ in range(8):
        path.write_bytes(DAMAGES[damage](bytearray(sound.read_bytes()), random))
        try:
            found = subject(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        assert found.store is not None
        with closing(found.store):
            drawn(found)
    assert refused


@pytest.fixture
def without_index(sound: Path, tmp_path: Path) -> Path:
    """What is looked for by the name of its tensor is not found there."""
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(sound)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'move_tensor'").fetchone()
    data = bytearray(sound.read_bytes())
    data[PAGE * (root - 1) : PAGE * root] = b"\x0a" + bytes(4) + b"\x10" + bytes(PAGE - 6)  # a leaf with no entries
    path.write_bytes(data)
    return path


def test_an_index_that_hides_moves_is_seen_though_every_cell_is_sound(without_index: Path) -> None:
    with closing(open_trace(without_index)) as store:
        assert NAME in {move.tensor for move in store.moves()} and not list(store.moves(tensor=NAME))
    with pytest.raises(InputError, match="the trace store is damaged: ") as refused:
        subject(without_index)
    assert str(without_index) in str(refused.value)


@pytest.mark.parametrize("command", ["audit", "diff"])
def test_it_is_neither_audited_nor_compared(
    command: str, sound: Path, without_index: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main([command, *[str(sound)] * (command == "diff"), str(without_index)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{without_index}: the trace store is damaged: " in line


def test_nor_in_the_browser(sound: Path, without_index: Path) -> None:
    whole = subject(sound)
    assert whole.store is not None
    with closing(whole.store), pytest.raises(InputError, match="the trace store is damaged: "):
        beside(whole, str(without_index))


def test_a_file_that_is_damaged_while_it_is_looked_at_is_told_on_the_page(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(sound.read_bytes())
    found = subject(path)
    assert found.store is not None
    with closing(found.store):
        browsing = Browsing(str(path), 1)
        browsing.arrived(found)
        found.store.db.execute("PRAGMA cache_size = 0")
        path.write_bytes(sound.read_bytes()[:PAGE] + b"\xff" * PAGE)
        browsing.go(Target("tensor", NAME))
        assert prose(browsing.shown()).startswith("✗ the trace store cannot be read or written: ")
        drawn(found)
