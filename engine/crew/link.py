"""One connection between rank 0 and another rank: what came over it, by kind, and whether its other end is still there.

The system closes the connections of a process that dies, however it dies, so a death is known at once and a slow
process is not taken for a dead one. A machine that vanishes is missed by the system's own probes.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from enum import IntEnum
from typing import Any

PROBE = 1
"""Seconds between two probes of a quiet connection."""
PROBES = 3
"""Unanswered ones after which the other machine is taken to be gone."""
STALLED = 60
"""Seconds that what was sent may stay unread, by a machine that vanished in the midst or a process that was stopped."""
CHUNK = 1 << 20
"""Bytes of notes in one frame."""
LARGEST = 1 << 26
"""Bytes in one frame at most; who announces more is no rank of ours."""
FRAME = struct.Struct("!BI")
"""Before each frame: its kind, its size."""

Message = dict[str, Any]


class Lost(Exception):
    """Another rank, or all of them, cannot be reached."""


class Kind(IntEnum):
    """What a frame holds: text as JSON, except for the notes."""

    HELLO = 1
    REFUSAL = 2
    NOTES = 3
    DONE = 4
    AWARE = 5
    CALL = 15
    ORDER = 16
    STOP = 17
    VERDICT = 18
    GO = 19


class Link:
    """This process's end of a connection; frames are taken in as they come, whatever this process is busy with."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        _watch_over(connection)
        self._socket = connection
        self._sending = threading.Lock()
        self._came: dict[int, bytes] = {}
        self._notes: deque[bytes] = deque()
        self.gone = False
        """Whether the other end has closed, with its process or its machine; what came before is still here."""
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        try:
            while True:
                kind, size = FRAME.unpack(exactly(self._socket, FRAME.size))
                if size > LARGEST:
                    break
                data = exactly(self._socket, size)
                if kind == Kind.NOTES:
                    self._notes.append(data)
                else:
                    self._came[kind] = data
        except (OSError, EOFError):
            pass
        self.gone = True
        self._socket.close()

    def send(self, kind: Kind, message: Message | None = None) -> None:
        """Raises Lost."""
        self._send(kind, json.dumps(message or {}).encode())

    def send_notes(self, data: bytes) -> None:
        """Raises Lost."""
        for start in range(0, len(data), CHUNK):
            self._send(Kind.NOTES, data[start : start + CHUNK])

    def _send(self, kind: Kind, data: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(FRAME.pack(kind, len(data)) + data)
        except OSError as error:
            raise Lost(f"the connection to the other ranks broke: {error.strerror or error}") from error

    def message(self, kind: Kind) -> Message | None:
        """The last one of its kind; None where none has come. Raises Lost for one that is none."""
        data = self._came.get(kind)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Lost(f"expected a message of another rank, found something else: {error}") from error
        if not isinstance(found, dict):
            raise Lost(f"expected a message of another rank, found {str(found)[:40]!r}")
        return found

    def has(self, kind: Kind) -> bool:
        """Whether one of this kind has come."""
        return kind in self._came

    def take_notes(self) -> bytes:
        """What has come since the last call."""
        parts = []
        while self._notes:
            parts.append(self._notes.popleft())
        return b"".join(parts)

    def close(self) -> None:
        """Leave; what was sent still arrives. The connection itself ends when the other end leaves too."""
        with suppress(OSError):  # the other end was first
            self._socket.shutdown(socket.SHUT_WR)


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, however they come. Raises EOFError where the other end closed first, and OSError."""
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), CHUNK))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _watch_over(connection: socket.socket) -> None:
    """Have the system find out when the other machine vanished, which closes nothing (tcp(7) of Linux)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {"TCP_KEEPIDLE": PROBE, "TCP_KEEPINTVL": PROBE, "TCP_KEEPCNT": PROBES,
                        "TCP_USER_TIMEOUT": 1000 * STALLED}.items():  # fmt: skip
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
