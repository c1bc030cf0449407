"""However the browser ends, the terminal is as it was, and what ended it stands in one line."""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.tui.subjects import folder
from tests.tui.terminal import BROWSE, FULL_SCREEN, NORMAL_SCREEN, PATIENCE, ROOT, Terminal
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

IMPATIENT = """
import sys, time
from tracer.cli import main
from tui import ending
from tui.app import Browser

ending.PATIENCE = 0.5
if sys.argv[2:]:
    Browser.exit = lambda self: time.sleep(600)
sys.exit(main(["browse", sys.argv[1]]))
"""

EARLY = """
import os, signal, sys
from tracer.cli import main
from tui.app import Browser

compose = Browser.compose

def stopped(self):
    os.kill(os.getpid(), signal.SIGTERM)
    yield from compose(self)

Browser.compose = stopped
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


@pytest.mark.parametrize(("number", "expected"), [
    (signal.SIGTERM, (143, ["tracer: terminated"])), (signal.SIGINT, (130, ["tracer: interrupted"])),
    (signal.SIGHUP, (-signal.SIGHUP, [])),
])  # fmt: skip
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(
    number: signal.Signals, expected: tuple[int, list[str]]
) -> None:
    with Terminal([*BROWSE, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.process.send_signal(number)
        assert (terminal.ended(), terminal.told) == expected
        assert terminal.as_before


def test_a_signal_that_comes_while_the_screen_is_made_ends_it_when_it_is_there() -> None:
    with Terminal([sys.executable, "-c", EARLY, str(folder("clean"))]) as terminal:
        assert (terminal.ended(), terminal.told) == (143, ["tracer: terminated"])
        assert terminal.as_before


def test_without_its_terminal_it_ends_also_where_no_signal_says_so() -> None:
    """As where it is none of the session that the terminal controls."""
    with Terminal([*BROWSE, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.close()
        assert terminal.ended_unread() == 128 + signal.SIGHUP


def test_a_terminal_that_takes_nothing_any_more_is_not_waited_for() -> None:
    with Terminal([sys.executable, "-c", IMPATIENT, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.type(b"b" * 500)  # drawn more often than the terminal, which nobody reads, has room for
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended_unread() == 128 + signal.SIGTERM
        assert terminal.after == terminal.before


def test_an_end_that_something_is_in_the_way_of_is_not_waited_for_either() -> None:
    with Terminal([sys.executable, "-c", IMPATIENT, str(folder("clean")), "stuck"]) as terminal:
        terminal.until("not checked")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 128 + signal.SIGTERM
        assert terminal.as_before


def test_served_to_a_web_browser_it_begins_and_ends_without_a_terminal() -> None:
    """As `textual serve` starts it: its driver speaks through pipes, and takes a signal for closing."""
    environment = {**os.environ, "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver", "PYTHONPATH": str(ROOT)}
    command = [*BROWSE, str(folder("clean"))]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment) as process:
        assert process.stdout is not None
        written = b""
        while b"not checked" not in written:
            came = os.read(process.stdout.fileno(), 1 << 16)
            assert came, written
            written += came
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[1] == b""
        assert process.returncode == 0


def test_after_an_error_inside_the_terminal_is_as_it_was_and_the_error_is_told() -> None:
    with Terminal([sys.executable, "-c", CRASH, str(folder("clean"))]) as terminal:
        terminal.until("not checked")
        terminal.type(b"b")
        assert terminal.ended() == 1
        assert terminal.as_before
        assert "RuntimeError: what nobody thought of" in "\n".join(terminal.told)
