"""Crews of two, both ends of which are in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from engine.crew.meeting import Crew
from tests.several import free_port

HELLO = {"gpus": 0, "ranks": 2}


def eventually(condition: Callable[[], object], limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))


@pytest.fixture
def crew(place: None) -> Iterator[tuple[Crew, Crew]]:
    both = Crew(0, 2), Crew(1, 2)
    eventually(lambda: both[0].came([1]))
    yield both
    for one in both:
        one.close()


def unexpected(late: list[int]) -> None:
    pytest.fail(f"{late} are not late")
