"""One connection of a crew: a death is known at once, and nothing that arrives is trusted."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from engine.crew import leading, link
from engine.crew.leading import Leader
from engine.crew.link import CHUNK, FRAME, LARGEST, PROBE, PROBES, STALLED, Kind, Link, Lost
from engine.crew.meeting import Crew
from engine.processes.failed import GRACE
from tests.engine.crews import crew, eventually, place

__all__ = ["crew", "place"]


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
