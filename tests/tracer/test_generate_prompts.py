"""Where prompts come from, and by what name they are blamed; and files in the place of a model that are none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from engine.loading.loader import Loader
from tests.engine.test_not_finite import ALL, BAD, spoiled
from tests.threads import one_thread
from tests.tracer.test_generate_errors import TEN, Command, command, sound
from tracer.execute import Prompts

__all__ = ["command", "one_thread", "sound"]


@pytest.fixture
def broken(sound: Path, tmp_path: Path) -> Path:
    return spoiled(sound, tmp_path / "model", "model.embed_tokens.weight", BAD)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("w5\n\n[]\n", "prompt 1 ({}: line 3): empty prompt: expected at least one id"),
        ("[5, 900]\n", "prompt 0 ({}: line 1): id 900 at place 1 of the prompt: expected 0 to 199"),
        (f"w5\nw6\n{[5] * 64}", "prompt 2 ({}: line 3): prompt of 64 ids: the longest sequence has 64, generated ones"),
        ("w5\n[5", "{}: line 2: begins like JSON and is none: "),
        ("w5\n\n[5, 0.5]", "{}: line 3: expected a list of whole numbers"),
        ("w5\nw6\n\udcff", "{}: line 3: byte 6: expected UTF-8, found 0xff"),
    ],
)
def test_a_prompt_of_a_file_is_blamed_by_its_line(
    content: str, says: str, sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is loaded, and of standard input as of a file."""
    monkeypatch.setattr(Loader, "load", pytest.fail)
    file, data = tmp_path / "prompts", content.encode("utf-8", "surrogateescape")
    file.write_bytes(data)
    for given, name in ((str(file), str(file)), ("-", "standard input")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        status, out, err = command(sound, "--prompts", given, "--device", "cpu")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"tracer: {says.format(name)}")


@pytest.mark.parametrize("tp", ["1", "2"])
def test_what_only_the_engine_knows_is_blamed_so_too(tp: str, sound: Path, tmp_path: Path, command: Command) -> None:
    """Whether a prompt fits the cache, which has two blocks here."""
    file = tmp_path / "prompts"
    file.write_text(f"w5\n\n{[5] * 60}\n")
    room = str(2 * 6144 / int(tp) / (1 << 30))
    status, out, err = command(sound, "--prompts", file, *TEN, "--cache-gib", room, "--tp", tp)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tracer: prompt 1 ({file}: line 3): ")
    assert "block" in err


def test_one_that_ends_with_an_error_is_named_so_as_well(broken: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "prompts"
    file.write_text(f"\nw5\nw6 w{BAD}\n")
    status, _, err = command(broken, "--prompts", file, *TEN)
    assert status == 1
    assert f"tracer: prompt 1 ({file}: line 3): position 1: {ALL}\n" in err


def test_a_lone_prompt_of_the_command_line_needs_no_name() -> None:
    assert Prompts(["w5"], [""]).blame(0, "empty") == "empty"
    assert Prompts(["w5", "w6"], ["", ""]).blame(1, "empty") == "prompt 1: empty"
    assert Prompts(["w5"], ["f: line 2"]).blame(0, "empty") == "prompt 0 (f: line 2): empty"


def test_a_closed_stdin_is_told_as_such(
    sound: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    said = "tracer: --prompts -: standard input is closed, expected a prompt a line\n"
    assert command(sound, "--prompts", "-") == (2, "", said)


# --- no model ---


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("notes.txt", b"hello\n", "text"),
        ("notes.md", "Gr\u00fc\u00dfe. ".encode() * 99, "text"),
        ("config.json", b'{"architectures": []}', "JSON"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        ("picture.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        ("picture.gif", b"GIF89a\1\0\1\0\0\0", "a GIF image"),
        ("paper.pdf", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        ("trace.db", b"SQLite format 3\0" + bytes(90), "an SQLite file"),
    ],
)
def test_a_file_that_is_no_weights_is_told_by_what_it_is(
    name: str, content: bytes, found: str, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    status, out, err = command(file, "--prompt-ids", "5")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tracer: {file}: expected a safetensors file, found {found}; ")
