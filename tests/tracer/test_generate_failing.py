"""An engine that fails while `tracer generate` prints, and ranks that keep it waiting: what a terminal shows."""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from engine import LLM, Sampling, Settings
from engine.crew import leading
from engine.crew.meeting import Crew
from engine.processes.failed import RankFailed
from engine.serving.engine import Engine
from tests import faulty_generation
from tests.threads import one_thread
from tests.tracer.test_generate_errors import TEN, Command, command, sound
from tracer.cli import main
from tracer.commands import generate, load, streaming
from tracer.commands.output import Printer
from tracer.errors import UsageError
from tracer.execute import EngineFailed

__all__ = ["command", "one_thread", "sound"]


class Terminal(io.StringIO):
    """What a user sees: both streams, and what steers the cursor."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *argv: str | Path, term: str = "xterm") -> str:
    """What `tracer generate` leaves on a terminal."""
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setenv("TERM", term)
        patch.setattr(sys, "stdout", screen)
        patch.setattr(sys, "stderr", screen)
        main(["generate", *map(str, argv), *TEN])
    return screen.getvalue()


def fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Callable[[], None]) -> None:
    """After a few passes."""
    monkeypatch.setenv("FAULT", "SOME")
    monkeypatch.setenv("HALF_WAY", str(tmp_path / "half-way"))
    monkeypatch.setitem(faulty_generation.FAULTS, "SOME", fault)
    monkeypatch.setattr(Engine, "step", faulty_generation.faulty(Engine.step))


def interrupted() -> None:
    raise KeyboardInterrupt


def test_an_exception_of_the_engine_is_one_line_on_one_rank_as_on_several(
    sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = LLM(sound, settings=Settings(cache_bytes=1 << 20)).generate(["w5"], Sampling(max_tokens=3))[0].text
    fails(monkeypatch, tmp_path, faulty_generation.raises)
    ran = command(sound, "w5", *TEN)
    assert ran == (1, f"{expected}\n", "tracer: RuntimeError: planted failure\n")


def test_debug_shows_where_it_was_raised(
    sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, tmp_path, faulty_generation.raises)
    with pytest.raises(EngineFailed) as caught:
        command(sound, "w5", *TEN, "--debug")
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("fault", "says"),
    [(faulty_generation.raises, "tracer: RuntimeError: planted failure"), (interrupted, "tracer: interrupted")],
)
def test_a_line_that_was_begun_is_ended_before_it_is_said_why(
    fault: Callable[[], None], says: str, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, tmp_path, fault)
    text, *rest = shown(monkeypatch, sound, "w5").split("\n")
    assert (len(text.split()), rest) == (3, [says, ""])


@pytest.mark.parametrize("fault", [faulty_generation.raises, interrupted])
def test_a_line_of_progress_is_gone_before_it_is_said_why(
    fault: Callable[[], None], sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "EVERY", 0.0)
    fails(monkeypatch, tmp_path, fault)
    *_, last = shown(monkeypatch, sound, "w5", "w6").split(" running\033[K")
    assert re.fullmatch(r"\r\033\[Ktracer: (RuntimeError: planted failure|interrupted)\n", last)


@pytest.mark.parametrize(("term", "steered"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_nothing_can_be_erased_on_shows_no_progress(
    term: str, steered: bool, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "EVERY", 0.0)
    screen = shown(monkeypatch, sound, "w5", "w6", term=term)
    assert ("\033" in screen, "\r" in screen) == (steered, steered)
    assert "[1] " in screen


@pytest.mark.parametrize(("term", "coloured"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_terminal_that_knows_no_colours_is_given_none(
    term: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen)
        Printer(argparse.Namespace(json=None, quiet=False, no_color=False)).lines(["warning: some"])
    assert screen.getvalue() == ("\033[33mwarning\033[0m: some\n" if coloured else "warning: some\n")


# --- ranks that are late ---


@pytest.mark.parametrize(("module", "prefix"), [(generate, "tracer"), (load, "trace-load")])
def test_who_is_waited_for_is_said_under_the_name_of_the_command(
    module: Any, prefix: str, sound: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def assemble(crew: Crew, own: object, tell: Callable[[list[int]], None]) -> None:
        tell([1, 2])
        raise RankFailed(1, "not here after 60 seconds")

    monkeypatch.setattr(leading, "assemble", assemble)
    parser = argparse.ArgumentParser()
    module.options(parser)
    given = ["--prompt-ids", "5"] if module is generate else []
    with pytest.raises(UsageError, match="not here after 60 seconds"):
        module.run(parser.parse_args([str(sound), *given, "--tp", "2"]), cast("Crew", object()))
    assert capsys.readouterr().err == f"{prefix}: waiting for ranks 1, 2\n"
