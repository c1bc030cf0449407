"""The processes that torchrun started, one a rank, on any number of machines, doing one job together.

They share no disk. What they tell each other goes through the key-value store at MASTER_ADDR:MASTER_PORT: nothing in
it waits, so nobody hangs on a peer that died. Rank 0 leads: it gives the order, collects what the others noted while
they still work, and says at the end with which status all of them exit. Every process shows by a counter that it
is alive; one whose counter stands still is gone.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch.distributed as dist

BEAT = 0.5
"""Seconds between two signs of life."""
LOST = 4.0
"""Seconds without one after which a rank is taken for dead. With what follows (see `leading`) it makes less than 10."""
JOIN = 120.0
"""Seconds that a rank may come later than another: imports from a cold network disk take their time."""
LATE = 10.0
"""Seconds after which it is said who has not come; and that one who has not is waited for to tell it the verdict."""
CHUNK = 1 << 20
"""Bytes of notes under one key; the store refuses values above 8 MiB."""
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
"""Whether torchrun itself serves the store; else rank 0 does."""

Message = dict[str, Any]


class Lost(Exception):
    """The others cannot be reached, or have not been heard of for too long."""


class Crew:
    """One process's end of the store. Raises Lost when there is no store to reach."""

    def __init__(self, rank: int, size: int, patience: float | None = None) -> None:
        """`patience` is how long the store is looked for; None: as long as whoever serves it may come late."""
        self.rank = rank
        self.size = size
        self.others = [other for other in range(size) if other != rank]
        self._seen: dict[int, tuple[bytes | None, float]] = {}
        self._over = threading.Event()
        where, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
        attempt = os.environ.setdefault("TORCHELASTIC_RESTART_COUNT", "0")
        agents = os.environ.get(AGENT_STORE) == "True"
        if patience is None:
            # torchrun's own store was there before any rank: if it cannot be reached, its machine is gone.
            patience = LATE if agents else JOIN
        try:
            serves = rank == 0 and not agents
            store = dist.TCPStore(  # type: ignore[attr-defined]
                where, int(port), is_master=serves, wait_for_workers=False, timeout=timedelta(seconds=patience)
            )
        except (RuntimeError, ValueError) as error:
            raise Lost(f"cannot meet the other ranks at {where}:{port}: {_first_line(error)}") from error
        # The group that the rank itself joins must not serve a second one at this port.
        os.environ[AGENT_STORE] = "True"
        self._store = dist.PrefixStore(f"trace-load/{attempt}", store)  # type: ignore[attr-defined]
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        count = 0
        while not self._over.is_set():
            try:
                self.put(f"beat/{self.rank}", str(count).encode())
            except Lost:
                return
            count += 1
            self._over.wait(BEAT)

    def put(self, key: str, value: bytes | Message) -> None:
        """Raises Lost."""
        try:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self._store.set(key, data)  # type: ignore[arg-type]  # the stub says text, any bytes are taken
        except RuntimeError as error:
            raise Lost(f"the other ranks cannot be reached: {_first_line(error)}") from error

    def get(self, key: str) -> bytes | None:
        """What is there now; None where nothing is. Raises Lost."""
        try:
            return bytes(self._store.get(key)) if self._store.check([key]) else None
        except RuntimeError as error:
            raise Lost(f"the other ranks cannot be reached: {_first_line(error)}") from error

    def message(self, key: str) -> Message | None:
        value = self.get(key)
        return None if value is None else json.loads(value)

    def take(self, key: str) -> bytes | None:
        """As `get`, and then it is no longer there."""
        value = self.get(key)
        if value is not None:
            self._store.delete_key(key)
        return value

    def silent(self, ranks: Iterable[int], patience: float = LOST) -> list[int]:
        """Those that showed no life for some seconds; whoever never did gets `JOIN`. Raises Lost."""
        now = time.monotonic()
        return [rank for rank in ranks if now - self._heard(rank, now)[1] > self._limit(rank, patience)]

    def _heard(self, rank: int, now: float) -> tuple[bytes | None, float]:
        value = self.get(f"beat/{rank}")
        if rank not in self._seen or self._seen[rank][0] != value:
            self._seen[rank] = (value, now)
        return self._seen[rank]

    def _limit(self, rank: int, patience: float) -> float:
        return JOIN if self._seen[rank][0] is None else patience

    def met(self, rank: int) -> bool:
        """Whether a rank has ever shown life. Raises Lost."""
        return self._heard(rank, time.monotonic())[0] is not None

    def close(self) -> None:
        """Show no more life."""
        self._over.set()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
