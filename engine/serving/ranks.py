"""The ranks of an `LLM`, one process each: told of prompts, they answer with tokens until they are closed.

All of them are here, or under torchrun one, and each of the others with another such process, on whichever machine.
"""

from __future__ import annotations

import atexit
import multiprocessing
import threading
from collections.abc import Callable, Generator, Sequence
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.opened import Opener
from engine.processes.distributed import ENVIRONMENT, host_meeting
from engine.processes.failed import RankFailed
from engine.processes.launch import launch
from engine.serving.engine import Token
from engine.serving.serve import Prompt, Settings, serve

_host_meeting = cache(host_meeting)
"""Once in a process, which serves the store until it ends: one model may come after another."""
_numbers = count()
"""Models have their numbers in the order in which they are made, which is the same in each process of a job."""


class Ranks:
    """Processes that hold a model together. Raises RankFailed from every call once one of them has failed.

    With `rank` only that one is here. `watch` is called all the while, and ends those that are here by raising: that
    is then raised from every call.
    """

    def __init__(
        self, opener: Opener, tp: int, settings: Settings, rank: int | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._here = None if rank is None else [rank]
        self._watching = watch
        pairs = [multiprocessing.Pipe() for _ in self._here or range(tp)]
        self._wires = [ours for ours, _ in pairs]
        theirs = [end for _, end in pairs]
        self._failure: BaseException | None = None
        self._owing = False
        """Whether the answer to a call has not all been heard."""
        self._ready = self._closed = False
        self._thread = threading.Thread(target=self._watch, args=(opener, tp, settings, theirs), daemon=True)
        atexit.register(self.close)  # before multiprocessing, whose own exit would end the ranks beside the thread
        self._thread.start()
        try:
            self.folder: Path = [self._receive(wire) for wire in self._wires][0]  # noqa: RUF015 - all must be ready
            self._ready = True
        except BaseException:
            self.close()
            raise

    def _watch(self, opener: Opener, tp: int, settings: Settings, theirs: Sequence[Connection]) -> None:
        """Run the ranks. Their ends of the wires are closed here when all have ended: who waits for an answer learns of
        a death by the end of this.
        """  # fmt: skip
        try:
            self._launch(tp, (opener, settings), theirs)
        except BaseException as error:  # told to whoever waits for an answer
            self._failure = error
        finally:
            for wire in theirs:
                wire.close()

    def _launch(self, tp: int, job: tuple[Opener, Settings], wires: Sequence[Connection]) -> None:
        where = ENVIRONMENT
        if self._here is not None:
            _host_meeting(*self._here)
            where += f"model-{next(_numbers)}"
        launch(
            tp, serve, *job, self._here is not None, device=job[1].device, ranks=self._here, watch=self._look,
            wires=wires, meeting=where,
        )  # fmt: skip

    def _look(self) -> None:
        """Closed while they load, they need not end that first; while they answer, nobody would hear the rest."""
        if self._watching is not None:
            self._watching()
        if self._closed and (self._owing or not self._ready):
            raise RankFailed(0, "it was closed while it was at work")

    def run(self, prompts: Sequence[Prompt]) -> Generator[list[Token]]:
        """As `serving.run`, on all ranks. None can be told to stop: what was not heard of the last call comes first."""
        while self._owing:
            self._owing = isinstance(self._receive(self._wires[0]), list)
        for wire in self._wires:
            self._send(wire, prompts)
        self._owing = True
        while isinstance(answer := self._receive(self._wires[0]), list):
            yield answer
        self._owing = False
        if answer is not None:
            raise answer

    def _send(self, wire: Connection, message: object) -> None:
        try:
            wire.send(message)
        except OSError as error:
            raise self._cause() from error

    def _receive(self, wire: Connection) -> Any:
        while not wire.poll(0.1):
            if not self._thread.is_alive():
                raise self._cause()
        try:
            return wire.recv()
        except (EOFError, OSError) as error:
            raise self._cause() from error

    def _cause(self) -> BaseException:
        self._thread.join()
        return self._failure or RankFailed(0, "it ended before it was told to")

    def close(self) -> None:
        """Have the ranks end, in the midst of a call if nobody listens to it, and wait for it.

        Python does so at its end, if nobody has.
        """
        self._closed = True
        for wire in self._wires:
            try:
                wire.send(None)
            except OSError:  # it is gone already
                continue
        self._thread.join()
        for wire in self._wires:
            wire.close()
        atexit.unregister(self.close)
