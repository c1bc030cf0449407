"""Whether a load is followed before its trace is opened: only while one runs, or where a trace may yet come."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tui.model.material import small, trace
from tui.model.follow import following, waiting
from tui.model.follow.waiting import followed


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "EVERY", 0.0)


def states(monkeypatch: pytest.MonkeyPatch, *told: tuple[str, bool]) -> list[str]:
    """What a load says each time it is asked; whether it was let go in the end."""
    said, log = iter(told), list[str]()

    class Told:
        def __init__(self, path: Path) -> None:
            log.append(path.name)

        def poll(self) -> Any:
            state, ended = next(said)
            return SimpleNamespace(state=state, ended=ended)

        def close(self) -> None:
            log.append("closed")

    monkeypatch.setattr(following, "Following", Told)
    return log


def test_a_trace_that_is_complete_and_what_is_no_trace_are_not_waited_for(tmp_path: Path) -> None:
    done = trace(small("llama", tmp_path / "llama"), 1, tmp_path / "t.db", plan_only=True)
    for where in (None, str(done), str(tmp_path), str(tmp_path / "gone"), str(tmp_path / "no" / "t.db"), ""):
        assert list(followed(where, lambda: False)) == []


def test_a_load_that_runs_is_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = states(monkeypatch, ("running", False), ("running", False), ("done", True), ("never", True))
    seen = [progress.state for progress in followed(str(tmp_path / "t.db"), lambda: False)]
    assert seen == ["running", "running", "done"] and log == ["t.db", "closed"]


def test_a_trace_that_is_not_there_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = states(monkeypatch, ("waiting", False), ("running", False), ("done", True))
    assert len(list(followed(str(tmp_path / "t.db"), lambda: False))) == 3 and log[-1] == "closed"


def test_whoever_stops_lets_it_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = states(monkeypatch, *[("running", False)] * 9)
    seen: list[Any] = []
    for progress in followed(str(tmp_path / "t.db"), lambda: len(seen) == 3):
        seen.append(progress)
    assert len(seen) == 3 and log[-1] == "closed"
    waits: Any = followed(str(tmp_path / "t.db"), lambda: False)
    next(waits)
    waits.close()
    assert log[-1] == "closed"
