"""A crew's talk: in order, whole, never waiting for the dead. Both ends are in this process here."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from engine.crew import leading, link, meeting
from engine.crew.following import Follower, Stopped
from engine.crew.leading import Leader
from engine.crew.link import CHUNK, FRAME, LARGEST, PROBE, PROBES, STALLED, Kind, Link, Lost
from engine.crew.meeting import JOIN, PORTS, TRIES, Crew
from engine.processes.failed import GRACE, RankFailed
from tests.several import free_port

OK = {"ok": True, "stopped": False, "result": ["", 5]}
FAILED = {"ok": False, "stopped": False, "message": "ValueError: no", "kind": "ValueError", "labels": {"code": "c"}}
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


def never() -> None:
    return None


def unexpected(late: list[int]) -> None:
    pytest.fail(f"{late} are not late")


# --- meeting ---


def test_rank_0_may_come_last(place: None) -> None:
    came: list[Crew] = []
    thread = threading.Thread(target=lambda: came.append(Crew(1, 2)))
    thread.start()
    time.sleep(0.3)
    first = Crew(0, 2)
    thread.join()
    eventually(lambda: first.came([1]))
    for one in (first, *came):
        one.close()


def test_nobody_at_the_address_is_said(place: None) -> None:
    with pytest.raises(Lost, match=r"cannot meet the other ranks at 127\.0\.0\.1: rank 0 was not there for 0\.5 sec"):
        Crew(1, 2, 0.5)


def test_without_torchrun_on_its_machine_rank_0_is_not_waited_for(
    place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "ASK_AFTER", 0.3)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with pytest.raises(Lost, match="rank 0 is gone, and torchrun with it"):
        Crew(1, 2)
    with (
        socket.create_server(("127.0.0.1", int(os.environ["MASTER_PORT"]))),
        pytest.raises(Lost, match="was not there for 1 seconds"),
    ):
        Crew(1, 2, 1.0)


def test_all_ranks_of_a_job_look_in_the_same_places_and_no_other_job_does(
    place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = list(meeting._ports(2))
    monkeypatch.setenv("MASTER_ADDR", "an alias of the same machine")
    assert list(meeting._ports(2)) == mine
    assert set(mine) < set(PORTS)
    assert len(mine) == TRIES
    monkeypatch.setenv("MASTER_PORT", "1")
    assert list(meeting._ports(2)) != mine


@pytest.fixture
def taken(place: None) -> Iterator[socket.socket]:
    """Somebody else listens where rank 0 would."""
    with socket.create_server(("", next(iter(meeting._ports(2))))) as server:
        yield server


def test_a_port_that_somebody_else_has_is_passed_over(taken: socket.socket) -> None:
    def answer() -> None:
        connection, _ = taken.accept()
        connection.sendall(b"220 this is another service, with a greeting longer than what a rank expects")
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    first, second = Crew(0, 2), Crew(1, 2)
    thread.join()
    second.leader.send(Kind.HELLO, HELLO)
    assert leading.assemble(first, {"own": 1}, unexpected) == [{"own": 1}, HELLO]
    for one in (first, second):
        one.close()


def test_no_free_port_is_said(place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "TRIES", 1)
    with socket.create_server(("", next(iter(meeting._ports(2))))), pytest.raises(Lost, match="cannot listen"):
        Crew(0, 2)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: somebody-who-scans-ports\r\n\r\n", b"", b"short"])
def test_a_stranger_is_not_let_in_and_keeps_nobody_out(place: None, said: bytes) -> None:
    first = Crew(0, 2)
    with socket.create_connection(("127.0.0.1", next(iter(meeting._ports(2))))) as stranger:
        stranger.sendall(said)
        second = Crew(1, 2)
        eventually(lambda: first.came([1]))
        if len(said) >= 36:
            assert not _answered(stranger)
    for one in (first, second):
        one.close()


def _answered(stranger: socket.socket) -> bool:
    try:
        return bool(stranger.recv(1))
    except ConnectionResetError:
        return False


def test_one_that_gave_up_waiting_for_the_answer_may_come_again(place: None) -> None:
    """Rank 0 may be busy for long; the call that it answers too late is no death."""
    first = Crew(0, 2)
    with socket.create_connection(("127.0.0.1", next(iter(meeting._ports(2))))) as impatient:
        impatient.sendall(meeting._secret(2, "ask") + struct.pack("!I", 1))
    time.sleep(0.2)
    second = Crew(1, 2)
    eventually(lambda: first.came([1]))
    assert first.gone([1]) == []
    for one in (first, second):
        one.close()


def test_nobody_is_let_in_once_all_is_over(place: None) -> None:
    first = Crew(0, 2)
    first.close()
    with pytest.raises(Lost, match="rank 0 was not there"):
        Crew(1, 2, 0.5)
    assert first.came([1]) == []


def test_patience_holds_also_where_ports_do_not_answer(place: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall that drops what it does not like; here somebody listens at every port and says nothing."""
    with ExitStack() as stack:
        for port in meeting._ports(2):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        began = time.monotonic()
        with pytest.raises(Lost, match=r"was not there for 0\.5 sec"):
            Crew(1, 2, 0.5)
        assert time.monotonic() - began < 2


def test_a_rank_comes_once(crew: tuple[Crew, Crew]) -> None:
    with pytest.raises(Lost, match="cannot meet"):
        Crew(1, 2, 0.3)
    assert crew[0].gone([1]) == []


# --- one connection ---


def test_the_system_misses_a_machine_that_vanished(crew: tuple[Crew, Crew]) -> None:
    """What closes nothing is found by probes: the only thing here that cannot be tried on one machine."""
    option = crew[1].leader._socket.getsockopt
    assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == PROBE
    assert option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == PROBES
    assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * STALLED


def test_a_death_leaves_time_for_all_that_follows_within_ten_seconds() -> None:
    """It is missed, the others end, the verdict is heard; after a failure that was told, others may tell theirs.

    A rank that is told to end does so at once.
    """
    assert PROBE * (PROBES + 1) + leading.ENDING + leading.ENDING < 10 - 1
    assert max(GRACE, leading.CAUSE) + leading.ENDING + leading.ENDING < 10 - 1


def test_a_death_is_known_at_once(crew: tuple[Crew, Crew]) -> None:
    first, second = crew
    assert first.gone([1]) == []
    second.close()
    eventually(lambda: first.gone([1]) == [1], 1.0)
    dead = Leader(first, lambda rank, data: None).dead()
    assert dead is not None
    assert dead.rank == 1


@pytest.mark.parametrize("data", [FRAME.pack(Kind.DONE, LARGEST + 1), FRAME.pack(Kind.DONE, 9) + b"{"])
def test_a_size_is_not_trusted(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "_watch_over", lambda connection: None)  # which is for TCP
        received = Link(ours)
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    eventually(lambda: received.gone)
    assert not received.has(Kind.DONE)
    theirs.close()


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff"])
def test_a_message_that_is_none_is_said(crew: tuple[Crew, Crew], data: bytes) -> None:
    crew[1].leader._send(Kind.DONE, data)
    ((_, received),) = crew[0].came([1])
    eventually(lambda: received.has(Kind.DONE))
    with pytest.raises(Lost, match="expected a message of another rank, found"):
        received.message(Kind.DONE)


def test_a_process_that_does_not_read_for_a_while_is_not_taken_for_dead() -> None:
    """Stopped, or swapped out; its system answers for it all the while."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    sender, size = Link(ours), 32 * CHUNK
    thread = threading.Thread(target=lambda: sender.send_notes(bytes(size)))
    thread.start()
    time.sleep(PROBE * (PROBES + 2))
    assert not sender.gone
    reader = Link(theirs)
    thread.join()
    found = 0
    while found < size:
        found += len(reader.take_notes())
        assert not reader.gone
    for end in (sender, reader):
        end.close()


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
