"""How a crew meets: in any order, past strangers and ports that others have, and nobody waits for what cannot come."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from engine.crew import leading, meeting
from engine.crew.link import Kind, Lost
from engine.crew.meeting import PORTS, TRIES, Crew
from tests.engine.crews import HELLO, crew, eventually, place, unexpected

__all__ = ["crew", "place"]


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
