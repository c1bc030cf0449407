"""How the processes find each other: rank 0 listens where all know to look, each of the others calls there."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

from engine.crew.link import Link, Lost, exactly

JOIN = 60.0
"""Seconds that a rank may come later than another. torchrun starts all once its machines have met; what takes time is
Python's own start from a cold network disk."""
LATE = 10.0
"""Seconds after which it is said who has not come; and that one who has not is waited for to tell it the verdict."""
ANSWER = 10.0
"""Seconds in which whoever listens or calls at a port must show that it belongs to the job."""
ASK_AFTER = 3.0
"""Seconds without rank 0 after which it is asked whether torchrun is still there."""
AGAIN = 0.1
"""Seconds between two rounds of calls."""
PORTS = range(10240, 32768)
"""Where rank 0 listens: neither the system's own ports nor those that Linux gives to outgoing connections."""
TRIES = 8
"""Ports that a job may take; the first of them that is free is used."""
ENTER = b"\1"
"""Said by whoever has heard the answer: from here on its silence means its death."""
_RANK = struct.Struct("!I")


class Crew:
    """One process's connections: rank 0 has one to each of the others, who have one to rank 0. Raises Lost."""

    def __init__(self, rank: int, size: int, patience: float = JOIN) -> None:
        """`patience` is how many seconds rank 0 is looked for."""
        self.rank = rank
        self.size = size
        self.others = [other for other in range(size) if other != rank]
        self._began = time.monotonic()
        self._links: dict[int, Link] = {}
        self._entry = threading.Lock()
        self._over = False
        self._door: socket.socket | None = None
        if rank == 0:
            self._door = _listen(size)
            threading.Thread(target=self._open, args=(self._door,), daemon=True).start()
        else:
            self._links[0] = _reach(rank, size, patience)

    @property
    def leader(self) -> Link:
        """The connection to rank 0."""
        return self._links[0]

    def link(self, rank: int) -> Link | None:
        """The connection to a rank; None where it has not come."""
        return self._links.get(rank)

    def came(self, ranks: Iterable[int]) -> list[tuple[int, Link]]:
        """Those who have come, whether or not they are still there."""
        return [(rank, self._links[rank]) for rank in ranks if rank in self._links]

    def gone(self, ranks: Iterable[int]) -> list[int]:
        """Those who came and are there no more."""
        return [rank for rank, link in self.came(ranks) if link.gone]

    def absent(self) -> str:
        """Who of the others is not here, in words; empty where all are."""
        away = {"gone": self.gone(self.others), "not here": [rank for rank in self.others if rank not in self._links]}
        return "; ".join(f"rank {', '.join(map(str, ranks))}: {how}" for how, ranks in away.items() if ranks)

    def overdue(self, ranks: Iterable[int]) -> list[int]:
        """Those who have not come and should have by now."""
        late = time.monotonic() - self._began > JOIN
        return [rank for rank in ranks if late and rank not in self._links]

    def _open(self, door: socket.socket) -> None:
        while True:
            try:
                connection, _ = door.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._admit, args=(connection,), daemon=True).start()

    def _admit(self, connection: socket.socket) -> None:
        """Let in whoever knows the job, once a rank; others find the door closed again."""
        try:
            connection.settimeout(ANSWER)
            expected = _secret(self.size, "ask")
            knows = exactly(connection, len(expected)) == expected
            (rank,) = _RANK.unpack(exactly(connection, _RANK.size))
            if knows and rank in self.others and rank not in self._links:
                connection.sendall(_secret(self.size, "answer"))
                exactly(connection, len(ENTER))  # else it has given up meanwhile, and calls again
                with self._entry:
                    if not self._over and rank not in self._links:
                        self._links[rank] = Link(connection)
                        return
        except (OSError, EOFError):
            pass
        connection.close()

    def close(self) -> None:
        """Leave; to the others this process is gone."""
        with self._entry:
            self._over = True
        if self._door is not None:
            with suppress(OSError):
                self._door.shutdown(socket.SHUT_RDWR)  # else whoever waits at it goes on waiting, and lets one more in
            self._door.close()
        for link in self._links.values():
            link.close()


def _secret(size: int, purpose: str) -> bytes:
    """What only the processes of one job say to each other: no password, but nobody says it by accident."""
    told = [os.environ.get(name, "") for name in ("MASTER_PORT", "TORCHELASTIC_RUN_ID")]
    return hashlib.sha256("\0".join(["trace-load", purpose, str(size), *told]).encode()).digest()


def _ports(size: int) -> Iterator[int]:
    """Where rank 0 of this job may listen, the same on every machine, in the order in which they are tried."""
    drawn = struct.unpack(f"!{TRIES}I", _secret(size, "ports")[: 4 * TRIES])
    return (PORTS[number % len(PORTS)] for number in drawn)


def _listen(size: int) -> socket.socket:
    for port in _ports(size):
        for options in ({"family": socket.AF_INET6, "dualstack_ipv6": True}, {}):
            try:
                return socket.create_server(("", port), backlog=size, **options)  # type: ignore[arg-type]
            except (OSError, ValueError):  # taken, or a machine without IPv6
                continue
    raise Lost(f"cannot listen for the other ranks: ports {', '.join(map(str, _ports(size)))} are taken")


def _reach(rank: int, size: int, patience: float) -> Link:
    """The connection to rank 0, which may come later. Raises Lost."""
    where, began, why = os.environ["MASTER_ADDR"], time.monotonic(), "nobody answered"
    while time.monotonic() - began < patience:
        for port in _ports(size):
            left = patience - (time.monotonic() - began)
            if left <= 0:
                break
            try:
                connection = socket.create_connection((where, port), min(ANSWER, left))
            except OSError as error:
                why = error.strerror or str(error)
                continue
            if _admitted(connection, rank, size):
                return Link(connection)
            connection.close()
        if time.monotonic() - began > ASK_AFTER and _torchrun_left(where):
            raise Lost(f"cannot meet the other ranks at {where}: rank 0 is gone, and torchrun with it")
        time.sleep(AGAIN)
    raise Lost(f"cannot meet the other ranks at {where}: rank 0 was not there for {patience:g} seconds ({why})")


def _torchrun_left(where: str) -> bool:
    """Whether nobody serves the store any more that torchrun keeps on rank 0's machine until its ranks have ended."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return False
    try:
        socket.create_connection((where, int(os.environ["MASTER_PORT"])), ANSWER).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _admitted(connection: socket.socket, rank: int, size: int) -> bool:
    """Whether rank 0 of this job is at the other end, and takes this process for a new one."""
    try:
        connection.sendall(_secret(size, "ask") + _RANK.pack(rank))
        expected = _secret(size, "answer")
        if exactly(connection, len(expected)) != expected:
            return False
        connection.sendall(ENTER)
        return True
    except (OSError, EOFError):
        return False
