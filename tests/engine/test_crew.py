"""A crew's talk: in order, whole, never waiting for the dead. Both ends are in this process here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from engine import leading
from engine.crew import BEAT, CHUNK, JOIN, LOST, Crew, Lost
from engine.following import Follower, Stopped
from engine.launch import GRACE, RankFailed
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


def unexpected(late: list[int]) -> None:
    pytest.fail(f"{late} are not late")


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


def test_one_that_is_told_to_end_by_others_than_the_leader_ends_the_load(crew: tuple[Crew, Crew]) -> None:
    Follower(crew[1], never).report({"ok": False, "stopped": True})
    with pytest.raises(RankFailed, match=r"^rank 1: it was told to end while it loaded$"):
        Leader(crew[0], lambda rank, data: None).run(lambda watch: "own")


def test_whoever_waits_and_is_stopped_says_for_whom(crew: tuple[Crew, Crew], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.leading.time.sleep", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        leading.assemble(crew[0], unexpected)
    assert caught.value.__notes__ == ["still without rank 0, 1"]


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
    for _ in range(10):
        assert first.silent([1], 10 * BEAT) == []
        time.sleep(BEAT / 5)
    second.close()
    deadline = time.monotonic() + 20
    while not first.silent([1], 2 * BEAT) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert first.silent([1], 2 * BEAT) == [1]
    assert first.silent([7], 0.0) == [], f"it has {JOIN:g} seconds to come"
    gone = Leader(first, lambda rank, data: None).lost(0.2)
    assert gone is not None
    assert gone.rank == 1


def test_a_death_leaves_time_for_all_that_follows_within_ten_seconds() -> None:
    """It is missed, the others end, the verdict is heard; a rank that is told to end does so at once."""
    assert LOST + BEAT + leading.ENDING + leading.ENDING < 10 - 1
    assert GRACE + leading.ENDING + leading.ENDING < 10 - 1


def test_whoever_is_late_is_named_once(crew: tuple[Crew, Crew], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "LATE", 0.2)
    monkeypatch.setattr(leading, "POLL", 0.05)
    told: list[list[int]] = []
    crew[0].put("hello/0", {"gpus": 0})
    thread = threading.Timer(1.0, lambda: crew[1].put("hello/1", {"gpus": 1}))
    thread.start()
    assert leading.assemble(crew[0], told.append) == [{"gpus": 0}, {"gpus": 1}]
    assert told == [[1]]
    thread.join()


def test_one_that_takes_no_part_is_heard_though_others_are_yet_to_come(crew: tuple[Crew, Crew]) -> None:
    Follower(crew[1], never).refuse("no such file: model")
    with pytest.raises(RankFailed, match=r"^rank 1: no such file: model$"):
        leading.assemble(crew[0], unexpected)


def test_all_leave_with_the_status_of_rank_0(crew: tuple[Crew, Crew]) -> None:
    left: list[int | None] = []
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
