"""However the browser ends, the terminal is as it was, and what ended it stands in one line."""

from __future__ import annotations

import argparse
import importlib.util
import io
import signal
import sys
from pathlib import Path

import pytest

from tests.tui.subjects import folder
from tests.tui.terminal import BROWSE, FULL_SCREEN, NORMAL_SCREEN, Terminal
from tracer.cli import main
from tracer.errors import UsageError
from tui.command import browse

CRASH = """
import sys
from tracer.cli import main
from tui.app import Browser

def broken(self):
    raise RuntimeError("what nobody thought of")

Browser.action_flat = broken
sys.exit(main(["browse", sys.argv[1]]))
"""


class Screen(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


# --- it does not begin ---


def test_without_a_terminal_it_says_what_to_use_instead(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["browse", "anything"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "browse needs a terminal" in line and "tracer diagnose" in line


def test_without_textual_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["browse"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("textual is not installed (pip install 'trace-load[tui]')")


def test_an_empty_name_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["browse", ""]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_key_map_that_is_none_is_told_before_the_screen_is_touched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["browse", "--keys", str(tmp_path / "none.toml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.toml: " in line and "No such file" in line and not screen.getvalue()
    with pytest.raises(UsageError, match=r"none\.toml"):
        browse(argparse.Namespace(help_keys=False, keys=str(tmp_path / "none.toml"), what=None, tp=1))


# --- it ends ---


def test_a_path_that_is_nothing_is_one_line_and_status_2(tmp_path: Path) -> None:
    with Terminal([*BROWSE, str(tmp_path / "nothing")]) as terminal:
        assert terminal.ended() == 2
        (line,) = terminal.told
        assert line.startswith("tracer: ") and "nothing: no such file or folder" in line
        assert terminal.as_before


def test_ctrl_z_leads_to_the_shell_and_fg_back_and_ctrl_c_quits() -> None:
    with Terminal([*BROWSE, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        assert terminal.after != terminal.before
        terminal.type(b"\x1a")
        terminal.stopped()
        assert terminal.as_before
        terminal.written = b""
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until("not checked")
        terminal.type(b"\x03")
        assert terminal.ended() == 0
        assert terminal.written.count(FULL_SCREEN) == terminal.written.count(NORMAL_SCREEN) == 1
        assert terminal.as_before


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, (143, ["tracer: terminated"])), (signal.SIGINT, (0, []))]
)
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(
    number: signal.Signals, expected: tuple[int, list[str]]
) -> None:
    with Terminal([*BROWSE, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.process.send_signal(number)
        assert (terminal.ended(), terminal.told) == expected
        assert terminal.as_before


def test_after_an_error_inside_the_terminal_is_as_it_was_and_the_error_is_told() -> None:
    with Terminal([sys.executable, "-c", CRASH, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.type(b"b")
        assert terminal.ended() == 1
        assert terminal.as_before
        assert "RuntimeError: what nobody thought of" in "\n".join(terminal.told)
