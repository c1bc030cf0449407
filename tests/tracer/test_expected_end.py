"""torchrun ends the ranks beside a dead one: rank 0, which has missed it: it says that, not that it was ended."""

from __future__ import annotations

import os
import signal
from typing import Any, cast

import pytest

from engine.crew import leading
from engine.processes.failed import RankFailed
from tracer.execute import several
from tracer.interrupts import Terminated, terminable


class Crew:
    rank = 0


class Leader:
    """One that has failed already."""

    def __init__(self, failed: BaseException) -> None:
        self.failed = failed

    def run(self, own: object) -> Any:
        raise self.failed

    def dead(self) -> None:
        return None


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "_host_meeting", lambda rank: object())
    monkeypatch.setattr(leading, "order", lambda crew, message: None)


def led(failed: BaseException) -> str:
    """What is said of a failure where this process is told to end while it is written down."""
    try:
        with terminable():
            try:
                several.lead(cast(Any, Crew()), cast(Any, Leader(failed)), {}, lambda watch: None)
            except RankFailed as error:
                os.kill(os.getpid(), signal.SIGTERM)
                return str(error.message)
    except Terminated:
        return "terminated"
    raise AssertionError("nothing failed")


def test_after_a_death_the_end_is_expected_and_hides_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert led(RankFailed(1, "gone without a word", "", "")) == "gone without a word"
    assert signal.getsignal(signal.SIGTERM) == before, "the next command hears it again"


def test_after_an_exception_of_a_rank_it_is_not() -> None:
    assert led(RankFailed(1, "no memory", "", "MemoryError")) == "terminated"
