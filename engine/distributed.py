"""Ranks as processes: the collectives over torch.distributed, and a launcher that never hangs.

Under torchrun each process calls `connect()`; without it, `launch` starts the ranks of this machine itself,
hands each its connected group, and ends them all as soon as one fails.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

GRACE = 1.0
"""Seconds to wait, after one rank has failed, for the one whose failure came first: peers fail of it."""
PATIENCE = 3.0
"""Seconds that a rank has to end when told to, before it is killed."""


class RankFailed(Exception):
    """A rank raised, or died without a word; all others have been ended."""

    def __init__(self, rank: int, message: str, traceback_text: str = "") -> None:
        super().__init__(f"rank {rank}: {message}")
        self.rank = rank
        self.message = message
        self.traceback_text = traceback_text


@dataclass(frozen=True)
class ProcessGroup:
    """One rank's end of the default group of torch.distributed: gloo on CPUs, NCCL on GPUs."""

    rank: int
    size: int
    device: str = "cpu"
    """Where this rank computes: `cpu`, or `cuda:N`."""

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over ranks; `x` is overwritten by it where it is contiguous."""
        x = x.contiguous()
        dist.all_reduce(x)
        return x

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors side by side along the last dimension, in rank order."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim=-1)


@contextmanager
def connect(
    device: str = "cpu", *, rank: int | None = None, size: int | None = None, init_method: str = "env://"
) -> Iterator[ProcessGroup]:  # fmt: skip
    """Join the other ranks and leave them at the end.

    Without arguments it reads RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them. On `cuda`
    the rank takes the GPU of its number on this machine (LOCAL_RANK, else its rank).
    """
    rank = int(os.environ["RANK"]) if rank is None else rank
    size = int(os.environ["WORLD_SIZE"]) if size is None else size
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, init_method=init_method, rank=rank, world_size=size)
    try:
        yield ProcessGroup(rank, size, device)
    finally:
        dist.destroy_process_group()


def launch(tp: int, function: Callable[..., Any], *args: Any, device: str = "cpu") -> list[Any]:
    """Run `function(group, *args)` in `tp` processes, each with its group; results in rank order.

    `function`, `args` and results travel by pickle, so `function` must be importable. Raises RankFailed as
    soon as a rank raises or dies, after ending the others.
    """
    job = pickle.dumps((function, args))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        # Not as_uri(): torch takes the path as it stands and does not decode percent signs.
        meeting = f"file://{Path(folder) / 'rendezvous'}"
        pipes = [context.Pipe(duplex=False) for _ in range(tp)]
        ranks = [
            context.Process(target=_run, args=(rank, tp, device, meeting, theirs, job), daemon=True)
            for rank, (_, theirs) in enumerate(pipes)
        ]
        try:
            for process, (_, theirs) in zip(ranks, pipes, strict=True):
                process.start()
                theirs.close()
            results = _gather([ours for ours, _ in pipes], ranks)
            _join(ranks, PATIENCE)
            return results
        finally:
            _end(ranks)


class Report(NamedTuple):
    """The last word of a rank."""

    ok: bool
    result: bytes = b""
    """Pickled by value: tensors must not live in the memory of a process that is about to end."""
    message: str = ""
    traceback_text: str = ""
    at: float = 0.0
    """When it failed, on the clock that all processes of a machine share."""


def _run(rank: int, size: int, device: str, meeting: str, pipe: Connection, job: bytes) -> None:
    """The life of one rank. A failure is reported before the group is left, as leaving it fails the peers."""
    _end_with_parent()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    reported = False
    try:
        with connect(device, rank=rank, size=size, init_method=meeting) as group:
            pipe.send(_perform(group, job))
            reported = True
    except BaseException as error:  # the group could not be made; or not be left, which is nobody's concern
        if not reported:
            pipe.send(_failure(error))


def _perform(group: ProcessGroup, job: bytes) -> Report:
    try:
        function, args = pickle.loads(job)
        return Report(True, pickle.dumps(function(group, *args)))
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> Report:
    text = "".join(traceback.format_exception(error))
    return Report(False, message=f"{type(error).__name__}: {error}", traceback_text=text, at=time.monotonic())


def _end_with_parent() -> None:
    """A rank whose launcher was killed must not wait for its peers for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _gather(pipes: Sequence[Connection], ranks: Sequence[multiprocessing.process.BaseProcess]) -> list[Any]:
    """Every rank's result, in order."""
    reports: dict[int, Report] = {}
    deadline: float | None = None
    while len(reports) < len(pipes) and (deadline is None or time.monotonic() < deadline):
        open_pipes = [pipe for rank, pipe in enumerate(pipes) if rank not in reports]
        for ready in wait(open_pipes, None if deadline is None else max(0.0, deadline - time.monotonic())):
            rank = next(rank for rank, pipe in enumerate(pipes) if pipe is ready)
            reports[rank] = _receive(pipes[rank], ranks[rank])
            if not reports[rank].ok and deadline is None:
                deadline = time.monotonic() + GRACE
    failed = [(report.at, rank) for rank, report in reports.items() if not report.ok]
    if failed:
        rank = min(failed)[1]
        raise RankFailed(rank, reports[rank].message, reports[rank].traceback_text)
    return [pickle.loads(reports[rank].result) for rank in range(len(pipes))]


def _receive(pipe: Connection, process: multiprocessing.process.BaseProcess) -> Report:
    """A rank's report. A silent death counts as the first cause: peers that fail of it say so."""
    try:
        report = pipe.recv()
        assert isinstance(report, Report)
        return report
    except (EOFError, OSError):
        process.join(PATIENCE)
        return Report(False, message=_epitaph(process.exitcode))


def _epitaph(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}"
    return f"ended with exit code {code} and no report"


def _join(ranks: Sequence[multiprocessing.process.BaseProcess], patience: float) -> None:
    """Wait until all have ended, but no longer than `patience` seconds."""
    deadline = time.monotonic() + patience
    for process in ranks:
        process.join(max(0.0, deadline - time.monotonic()))


def _end(ranks: Sequence[multiprocessing.process.BaseProcess]) -> None:
    """Leave no process behind: those still there are told to end, then made to."""
    started = [process for process in ranks if process.pid is not None]
    for process in started:
        process.terminate()
    _join(started, PATIENCE)
    for process in started:
        process.kill()
        process.join()
