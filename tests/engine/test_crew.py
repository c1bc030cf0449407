"""A crew's talk: in order, whole, never waiting for the dead. Both ends are in this process here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from engine import leading
from engine.crew import CHUNK, JOIN, Crew, Lost
from engine.following import Follower, Stopped
from engine.launch import RankFailed
from engine.leading import Leader
from tests.several import free_port

OK = {"ok": True, "stopped": False, "result": ["", 5]}
FAILED = {"ok": False, "stopped": False, "message": "ValueError: no", "kind": "ValueError", "labels": {"code": "c"}}


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Crew, Crew]]:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    both = Crew(0, 2), Crew(1, 2)
    yield both
    for one in both:
        one.close()


def never() -> None:
    return None


def test_notes_arrive_whole_and_in_order_however_large(crew: tuple[Crew, Crew]) -> None:
    taken: list[bytes] = []
    leader, follower = Leader(crew[0], lambda rank, data: taken.append(data)), Follower(crew[1], never)
    sent = [b"a", bytes(range(256)) * (3 * CHUNK // 256), b"", b"z" * (CHUNK + 1)]
    for data in sent:
        follower.send(data)
    follower.report(OK)
    assert leader.run(lambda watch: "own") == "own"
    assert b"".join(taken) == b"".join(sent)
    assert leader.done == {1: OK}
    assert crew[0].get("notes/1/0") is None, "what was taken is no longer held"


def test_a_failure_is_told_with_what_it_says_and_the_others_are_stopped(crew: tuple[Crew, Crew]) -> None:
    leader, follower = Leader(crew[0], lambda rank, data: None), Follower(crew[1], never)
    follower.check()
    follower.report(FAILED)
    with pytest.raises(RankFailed, match="rank 1: ValueError: no") as caught:
        leader.run(lambda watch: watch())
    assert (caught.value.kind, caught.value.labels) == ("ValueError", {"code": "c"})


def test_an_own_failure_stops_the_others(crew: tuple[Crew, Crew]) -> None:
    leader, follower = Leader(crew[0], lambda rank, data: None), Follower(crew[1], never)

    def end_when_told() -> None:
        with pytest.raises(Stopped):
            while True:
                follower.check()
                time.sleep(0.01)
        follower.report({"ok": False, "stopped": True})

    def own(watch: object) -> None:
        raise RankFailed(0, "ValueError: mine", kind="ValueError")

    thread = threading.Thread(target=end_when_told)
    thread.start()
    with pytest.raises(RankFailed, match="rank 0: ValueError: mine"):
        leader.run(own)
    thread.join()


def test_a_silent_death_is_the_first_cause(crew: tuple[Crew, Crew]) -> None:
    """Rank 0 fails of a peer that is gone, and says so only because of it."""
    leader = Leader(crew[0], lambda rank, data: None)
    Follower(crew[1], never).report({"ok": False, "stopped": False, "message": "killed", "kind": "", "labels": {}})

    def own(watch: object) -> None:
        raise RankFailed(0, "RuntimeError: connection closed by peer", kind="RuntimeError")

    with pytest.raises(RankFailed, match="rank 1: killed"):
        leader.run(own)


def test_who_shows_no_life_is_missed_and_who_is_yet_to_come_is_not(crew: tuple[Crew, Crew]) -> None:
    first, second = crew
    deadline = time.monotonic() + 5
    while first.get("beat/1") is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert first.silent([1], 0.8) == []
    second.close()
    time.sleep(1.5)
    first.silent([1], 0.8)
    time.sleep(1.0)
    assert first.silent([1], 0.8) == [1]
    assert first.silent([7], 0.0) == [], f"it has {JOIN:g} seconds to come"
    gone = Leader(first, lambda rank, data: None).lost(0.2)
    assert gone is not None
    assert gone.rank == 1


def test_all_leave_with_the_status_of_rank_0(crew: tuple[Crew, Crew]) -> None:
    left: list[int] = []
    thread = threading.Thread(target=lambda: left.append(Follower(crew[1], never).verdict()))
    thread.start()
    leading.dismiss(crew[0], 2)
    thread.join()
    assert left == [2]


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.crew.JOIN", 0.5)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    with pytest.raises(Lost, match=r"cannot meet the other ranks at 127\.0\.0\.1:"):
        Crew(1, 2)
