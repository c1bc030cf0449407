"""A crew's talk: in order, whole, never waiting for the dead. Both ends are in this process here."""

from __future__ import annotations

import threading
import time

import pytest

from engine.crew import leading, meeting
from engine.crew.following import Follower, Stopped
from engine.crew.leading import Leader
from engine.crew.link import CHUNK, Lost
from engine.crew.meeting import JOIN, Crew
from engine.processes.failed import GRACE, RankFailed
from tests.engine.crews import HELLO, crew, eventually, place, unexpected

__all__ = ["crew", "place"]
OK = {"ok": True, "stopped": False, "result": ["", 5]}
FAILED = {"ok": False, "stopped": False, "message": "ValueError: no", "kind": "ValueError", "labels": {"code": "c"}}


def never() -> None:
    return None


# --- leading and following ---


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


def test_what_was_sent_before_a_death_is_taken(crew: tuple[Crew, Crew]) -> None:
    taken: list[bytes] = []
    Follower(crew[1], never).send(b"z" * (3 * CHUNK))
    crew[1].close()
    with pytest.raises(RankFailed, match="rank 1: gone without a word: it was killed, or its machine is gone"):
        Leader(crew[0], lambda rank, data: taken.append(data)).run(lambda watch: "own")
    assert sum(map(len, taken)) == 3 * CHUNK


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


def test_one_that_is_told_to_end_by_others_than_the_leader_ends_the_work(crew: tuple[Crew, Crew]) -> None:
    Follower(crew[1], never).report({"ok": False, "stopped": True})
    with pytest.raises(RankFailed, match=r"^rank 1: it was told to end before it was done$"):
        Leader(crew[0], lambda rank, data: None).run(lambda watch: "own")


def test_a_silent_death_is_the_first_cause(crew: tuple[Crew, Crew]) -> None:
    """Rank 0 fails of a peer that is gone, and says so only because of it."""
    leader = Leader(crew[0], lambda rank, data: None)
    Follower(crew[1], never).report({"ok": False, "stopped": False, "message": "killed", "kind": "", "labels": {}})

    def own(watch: object) -> None:
        raise RankFailed(0, "RuntimeError: connection closed by peer", kind="RuntimeError")

    with pytest.raises(RankFailed, match="rank 1: killed"):
        leader.run(own)


LOST = {"ok": False, "stopped": False, "message": "PeersLost: closed", "kind": "PeersLost", "labels": {}}


def lose_the_others(watch: object) -> None:
    raise RankFailed(0, "PeersLost: closed", kind="PeersLost")


def test_what_others_failed_of_is_the_cause_though_it_is_told_last(place: None) -> None:
    """Whose connection broke knows it at once; whoever broke it still has to end its own processes."""
    ranks = [Crew(rank, 3) for rank in range(3)]
    eventually(lambda: len(ranks[0].came([1, 2])) == 2)
    Follower(ranks[1], never).report(LOST)
    late = threading.Timer(GRACE + 0.5, lambda: Follower(ranks[2], never).report(FAILED))
    late.start()
    with pytest.raises(RankFailed, match="rank 2: ValueError: no"):
        Leader(ranks[0]).run(lose_the_others)
    late.join()
    for one in ranks:
        one.close()


def test_where_nobody_tells_a_cause_what_is_known_is_told(
    crew: tuple[Crew, Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "CAUSE", 0.3)
    with pytest.raises(RankFailed, match="rank 0: PeersLost: closed"):
        Leader(crew[0]).run(lose_the_others)


def test_without_a_leader_the_others_stop(crew: tuple[Crew, Crew]) -> None:
    follower = Follower(crew[1], never)
    follower.check()
    crew[0].close()
    eventually(lambda: crew[1].leader.gone)
    with pytest.raises(Lost, match="rank 0 is gone"):
        follower.check()
    assert follower.verdict() is None


# --- arriving and leaving ---


def test_who_is_absent_is_said(crew: tuple[Crew, Crew]) -> None:
    assert crew[0].absent() == ""
    crew[1].close()
    eventually(lambda: crew[0].absent() == "rank 1: gone")


def test_who_has_not_come_is_said(place: None) -> None:
    first = Crew(0, 3)
    assert first.absent() == "rank 1, 2: not here"
    first.close()


def test_whoever_is_late_is_named_once(crew: tuple[Crew, Crew], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "LATE", 0.2)
    told: list[list[int]] = []
    follower = Follower(crew[1], never)
    thread = threading.Timer(1.0, lambda: follower.arrive({"gpus": 1}))
    thread.start()
    assert leading.assemble(crew[0], {"gpus": 0}, told.append) == [{"gpus": 0}, {"gpus": 1}]
    assert follower.called()
    assert told == [[1]]
    thread.join()


def test_one_that_does_not_come_is_missed(place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "JOIN", 0.2)
    first = Crew(0, 2)
    with pytest.raises(RankFailed, match=f"^rank 1: not here after {JOIN:g} seconds$"):
        leading.assemble(first, HELLO, unexpected)
    first.close()


def test_one_that_goes_before_the_work_is_missed_at_once(crew: tuple[Crew, Crew]) -> None:
    """As a process that dies while it imports torch."""
    crew[1].close()
    with pytest.raises(RankFailed, match=r"^rank 1: gone before the work began: it was killed$"):
        leading.assemble(crew[0], HELLO, unexpected)


def test_one_that_takes_no_part_is_heard_though_others_are_yet_to_come(crew: tuple[Crew, Crew]) -> None:
    Follower(crew[1], never).refuse("no such file: model")
    crew[1].close()
    with pytest.raises(RankFailed, match=r"^rank 1: no such file: model$"):
        leading.assemble(crew[0], HELLO, unexpected)


def test_all_leave_with_the_status_of_rank_0(crew: tuple[Crew, Crew]) -> None:
    left: list[int | None] = []
    thread = threading.Thread(target=lambda: left.append(Follower(crew[1], never).verdict()))
    thread.start()
    leading.dismiss(crew[0], 2)
    thread.join()
    assert left == [2]


def test_one_who_comes_when_all_is_over_hears_the_verdict_too(place: None) -> None:
    first = Crew(0, 2)
    left: list[int | None] = []

    def come_late() -> None:
        time.sleep(0.5)
        left.append(Follower(Crew(1, 2), never).verdict())

    thread = threading.Thread(target=come_late)
    thread.start()
    leading.dismiss(first, 2)
    thread.join()
    assert left == [2]
