"""One walk through the browser in tmux, from a shell and back to it, as whoever has a broken checkpoint would go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.subjects import LOST, folder
from tests.tui.terminal import PATIENCE, ROOT

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
PROMPT = "shell>"
SHELL = ["env", f"PS1={PROMPT} ", "HISTFILE=/dev/null", "sh", "-i"]
COPIES = "set-option -s set-clipboard on"
"""What a program sends to the clipboard becomes a buffer of tmux."""


class Tmux:
    """A terminal of 80 columns and 24 lines, and a shell in it."""

    def __init__(self, at: Path) -> None:
        self._tmux = ["tmux", "-S", str(at / "socket"), "-f", "/dev/null"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        environment.pop("ENV", None)
        start = [*COPIES.split(), ";", "new-session", "-d", "-x", "80", "-y", "24", *SHELL]
        subprocess.run([*self._tmux, *start], env=environment, check=True)

    def ask(self, *words: str) -> str:
        """A command of tmux's, and what it prints."""
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def keys(self, *keys: str) -> None:
        """Press keys, as tmux calls them."""
        self.ask("send-keys", *keys)

    def run(self, command: str) -> None:
        """Type a command into the shell, and Enter."""
        self.ask("send-keys", "-l", command)
        self.keys("Enter")

    @property
    def screen(self) -> str:
        """What can be read on it."""
        return self.ask("capture-pane", "-p")

    def until(self, what: Callable[[str], bool]) -> str:
        """Wait until the screen is so; the screen."""
        end = time.monotonic() + PATIENCE
        while not what(screen := self.screen):
            assert time.monotonic() < end, screen
            time.sleep(0.05)
        return screen


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    try:
        terminal.until(lambda screen: PROMPT in screen)
        yield terminal
    finally:
        terminal.ask("kill-server")


def test_search_follow_cut_otherwise_find_copy_and_quit(tmux: Tmux, tmp_path: Path) -> None:
    tmux.run(f"stty -g > {tmp_path}/before; clear; echo this was here before")
    tmux.until(lambda screen: screen.rstrip().endswith(PROMPT) and "this was here before" in screen)
    tmux.run(f"{sys.executable} -P -m tracer browse {folder('broken')} --tp 2; stty -g > {tmp_path}/after")
    first = tmux.until(lambda screen: "✗ 2 errors" in screen)
    assert "broken  tp 2  rank 0" in first and "✗ error  tensor.unmapped" in first

    tmux.keys("/")
    tmux.ask("send-keys", "-l", "k_proj")
    found = tmux.until(lambda screen: "extra.weight" not in screen.split("▸2 path")[0])
    assert "self_attn.k_proj.weight ×4" in found
    tmux.keys("Enter")
    path = tmux.until(lambda screen: "model.layers.0.self_attn.qkv_proj.weight  shard k" in screen)
    assert "rank 1      [16:32]" in path and "model.safetensors" in path and "llama.py:" in path

    tmux.keys("+")
    tmux.until(lambda screen: "broken  tp 4  rank 0" in screen and "rank 1      [8:16]" in screen)

    tmux.keys("n")
    tmux.until(lambda screen: "✗ error  param.unfilled" in screen and LOST in screen)
    tmux.keys("N")
    tmux.until(lambda screen: "✗ error  tensor.unmapped" in screen and "no row claims it" in screen)

    tmux.keys("Y")
    tmux.until(lambda screen: "sent to the terminal's clipboard" in screen)
    copied = tmux.ask("show-buffer")
    assert "`tensor.unmapped`" in copied and "model.extra.weight" in copied

    tmux.keys("q")
    back = tmux.until(lambda screen: screen.rstrip().endswith(PROMPT) and "2 errors" not in screen)
    assert "this was here before" in back and "╭" not in back and "✗" not in back
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text() != ""
