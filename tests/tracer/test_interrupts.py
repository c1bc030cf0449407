"""Somebody stops a load: what was observed is kept, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import several
from tests.several import FAULTY, finish, start, wait_for
from tests.tracer.half_way import WITHIN, folder, layers, original
from tracer import session
from tracer.cli import main, trace_load
from tracer.commands import diagnose
from tracer.store import Store

__all__ = ["folder", "original"]


@pytest.mark.parametrize(("number", "status", "said"), [
    (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"),
])  # fmt: skip
def test_a_load_that_is_stopped_keeps_what_was_observed_and_leaves_nobody_behind(
    folder: Path, tmp_path: Path, number: signal.Signals, status: int, said: str
) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    saved = outputs / "t.db"
    process = start(
        [*FAULTY, "load", folder, "--device", "cpu", "--save", saved, "--json", outputs / "t.jsonl"],
        {"FAULT": "WaitsOnRankZero"},
    )
    rank, parent = wait_for(tmp_path / "half-way")
    assert parent == process.pid
    time.sleep(0.3)
    began = time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    ended = finish(process)
    assert time.monotonic() - began < WITHIN
    assert ended == (status, "", f"tracer: {said}; what was observed until then is in {saved}\n")
    assert not several.alive(rank)
    assert [path.name for path in outputs.iterdir()] == ["t.db"]
    assert layers(saved, 0) == {"0"}
    checks = {check.name: (check.state, check.reason) for check in Store.open(saved).checks()}
    assert checks["load"] == ("failed", "interrupted")
    assert checks["audit"] == ("not-checked", "interrupted")


def test_before_the_load_has_begun_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(session, "add_params", stop)
    assert trace_load(["--plan", "--save", str(tmp_path / "t.db")]) == 130
    assert capsys.readouterr().err == "trace-load: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def alone(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", EARLY.format(code)], check=False, capture_output=True, text=True)


EARLY = "import os, signal; {}; os.kill(os.getpid(), signal.SIGINT); print('still here')"


def test_while_a_command_is_still_importing_it_ends_in_one_line() -> None:
    ended = alone("import tracer.early")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "tracer: interrupted\n")


def test_whoever_imports_the_commands_hears_of_it_as_always() -> None:
    ended = alone("import tracer.cli")
    assert ended.stderr.endswith("\nKeyboardInterrupt\n")


def test_what_python_makes_of_it_in_a_class_that_is_being_made_is_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> int:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr(diagnose, "run", stop)
    assert main(["diagnose", "model"]) == 130
    assert capsys.readouterr().err == "tracer: interrupted\n"
