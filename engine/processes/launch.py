"""Ranks as processes of this machine: started together, watched, and ended together as soon as one fails."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from engine.processes.distributed import ENVIRONMENT, ProcessGroup, connect
from engine.processes.failed import GRACE, POLL, RankFailed, Unguarded

NAME = "trace-load-rank"
"""Of the process of a rank."""
UNGUARDED = 97
"""The exit code of a rank that was to start ranks while it imported the script of its launcher."""
PATIENCE = 3.0
"""Seconds that a rank has to end when told to, before it is killed."""
SIGNALS = {
    signal.SIGKILL: "SIGKILL: by hand, or by the system for want of memory",
    signal.SIGBUS: "SIGBUS: a page of a mapped file could not be read, so the file was cut short or its disk failed",
    signal.SIGSEGV: "SIGSEGV: a crash in native code",
    signal.SIGTERM: "SIGTERM: it was told to end",
}


class Report(NamedTuple):
    """The last word of a rank."""

    ok: bool
    result: bytes = b""
    """Pickled by value: tensors must not live in the memory of a process that is about to end."""
    message: str = ""
    traceback_text: str = ""
    kind: str = ""
    labels: Mapping[str, str] = {}
    at: float = 0.0
    """When it failed, on the clock that all processes of a machine share."""


def launch(
    tp: int, function: Callable[..., Any], *args: Any, device: str = "cpu", ranks: Sequence[int] | None = None,
    watch: Callable[[], None] | None = None, wires: Sequence[Connection] = (), meeting: str = ENVIRONMENT,
) -> list[Any]:  # fmt: skip
    """Run `function(group, *args)` in one process a rank, each with its group; results in rank order.

    `function`, `args` and results travel by pickle, so `function` must be importable. Of `wires` each rank is given its
    own, as the last argument: one end of a pipe, to be told of more work. Without `ranks` all `tp` of
    them run here; with `ranks` only these do, and the others are met where the environment says, under the name that
    `meeting` may have. `watch` is called all the while, and ends the ranks by raising. Raises RankFailed as soon as a
    rank raises or dies, after ending the others, and Unguarded where the script that calls this has no guard.
    """
    _end_if_importing()
    job = pickle.dumps((function, args))
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        # Not as_uri(): torch takes the path as it stands and does not decode percent signs.
        meeting = f"file://{Path(folder) / 'rendezvous'}" if ranks is None else meeting
        own = _Ranks(range(tp) if ranks is None else ranks, tp, device, meeting, job, wires)
        try:
            own.start()
            results = own.gather(watch)
            _join(own.processes, PATIENCE)
            return results
        finally:
            own.end()


class _Ranks:
    """The ranks that run on this machine, each with the pipe that brings its report."""

    def __init__(
        self, numbers: Sequence[int], size: int, device: str, meeting: str, job: bytes, wires: Sequence[Connection]
    ) -> None:  # fmt: skip
        context = multiprocessing.get_context("spawn")
        self.numbers = list(numbers)
        self.reports: dict[int, Report] = {}
        """By place in `numbers`."""
        pipes = [context.Pipe(duplex=False) for _ in self.numbers]
        self._pipes = [ours for ours, _ in pipes]
        self._theirs = [theirs for _, theirs in pipes]
        self.processes: list[BaseProcess] = [
            context.Process(
                target=_run, args=(rank, size, device, meeting, theirs, job, *wires[place : place + 1]), daemon=True,
                name=NAME,
            )
            for place, (rank, theirs) in enumerate(zip(self.numbers, self._theirs, strict=True))
        ]

    def start(self) -> None:
        with _interrupts_held():
            for process, theirs in zip(self.processes, self._theirs, strict=True):
                process.start()
                theirs.close()

    def gather(self, watch: Callable[[], None] | None) -> list[Any]:
        """Every rank's result, in order."""
        deadline: float | None = None
        while len(self.reports) < len(self.numbers) and (deadline is None or time.monotonic() < deadline):
            limit = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._poll(POLL if watch is not None and limit is None else limit)
            if deadline is None and not all(report.ok for report in self.reports.values()):
                deadline = time.monotonic() + GRACE
            if watch is not None:
                watch()
        failed = [(report.at, place) for place, report in self.reports.items() if not report.ok]
        if failed:
            place = min(failed)[1]
            last = self.reports[place]
            if self.processes[place].exitcode == UNGUARDED:
                raise Unguarded(_no_guard())
            raise RankFailed(self.numbers[place], last.message, last.traceback_text, last.kind, last.labels)
        return [pickle.loads(self.reports[place].result) for place in range(len(self.numbers))]

    def _poll(self, seconds: float | None) -> None:
        """Take the reports that are there, or come within some seconds."""
        waiting = {self._pipes[place]: place for place in range(len(self.numbers)) if place not in self.reports}
        for ready in wait(list(waiting), seconds):
            assert isinstance(ready, Connection)
            place = waiting[ready]
            self.reports[place] = _receive(ready, self.processes[place])

    def end(self) -> None:
        """Leave no process and no pipe behind: those still there are told to end, then made to."""
        started = [process for process in self.processes if process.pid is not None]
        for process in started:
            process.terminate()
        _join(started, PATIENCE)
        for process in started:
            process.kill()
            process.join()
        for process in self.processes:
            process.close()
        for pipe in [*self._pipes, *self._theirs]:
            pipe.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C goes to all processes of the terminal, and it is the launcher's to answer it.

    A process that is started meanwhile begins deaf to it, so none complains while it is still importing.
    """
    resource_tracker.ensure_running()  # else the first start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_if_importing() -> None:
    """Without a word where this is a rank that is still importing its launcher's script: the launcher says why.

    `multiprocessing` knows of it too, and would have each rank say so in a traceback of its own.
    """
    process = multiprocessing.current_process()
    if process.name == NAME and getattr(process, "_inheriting", False):
        os._exit(UNGUARDED)


def _no_guard() -> str:
    script = getattr(sys.modules.get("__main__"), "__file__", None) or "the script"
    guard = 'if __name__ == "__main__":'
    return f"{script}: ranks are processes that import this file: what starts them must stand below `{guard}`"


def _run(
    rank: int, size: int, device: str, meeting: str, pipe: Connection, job: bytes, *wires: Connection
) -> None:  # fmt: skip
    """The life of one rank. A failure is reported before the group is left, as leaving it fails the peers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    apart = meeting.startswith(ENVIRONMENT)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size)) if apart else size
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // here))
    if device == "cuda" and not apart:
        device = f"cuda:{rank}"
    reported = False
    try:
        with connect(device, rank=rank, size=size, init_method=meeting) as group:
            pipe.send(_perform(group, job, wires))
            reported = True
    except BaseException as error:  # the group could not be made; or not be left, which is nobody's concern
        if not reported:
            pipe.send(_failure(error))


def _perform(group: ProcessGroup, job: bytes, wires: Sequence[Connection]) -> Report:
    try:
        function, args = pickle.loads(job)
        return Report(True, pickle.dumps(function(group, *args, *wires)))
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> Report:
    """The exception in one line: native code adds a stack to its messages."""
    kind, text = type(error).__name__, str(error).strip()
    message = f"{kind}: {text.splitlines()[0]}" if text else kind
    given = {name: getattr(error, name, None) for name in ("code", "subject")}
    labels = {name: value for name, value in given.items() if isinstance(value, str)}
    return Report(False, b"", message, "".join(traceback.format_exception(error)), kind, labels, time.monotonic())


def _end_with_parent() -> None:
    """A rank whose launcher was killed must not wait for its peers for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _receive(pipe: Connection, process: BaseProcess) -> Report:
    """A rank's report. A silent death counts as the first cause: peers that fail of it say so."""
    try:
        report = pipe.recv()
        assert isinstance(report, Report)
        return report
    except (EOFError, OSError):
        process.join(PATIENCE)
        return Report(False, message=_epitaph(process.exitcode))


def _epitaph(code: int | None) -> str:
    """What the exit status of a process says; a shell's spelling of a signal is 128 more than its number."""
    if code is not None and code < 0:
        told = SIGNALS.get(-code)  # type: ignore[call-overload]
        return f"killed by signal {-code}" + (f" ({told})" if told else "")
    told = SIGNALS.get(code - 128) if code is not None and code > 128 else None  # type: ignore[call-overload]
    return f"ended with exit code {code} and no report" + (f" ({told})" if told else "")


def _join(ranks: Sequence[BaseProcess], patience: float) -> None:
    """Wait until all have ended, but no longer than `patience` seconds."""
    deadline = time.monotonic() + patience
    for process in ranks:
        process.join(max(0.0, deadline - time.monotonic()))
