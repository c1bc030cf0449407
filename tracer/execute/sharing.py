"""A load that the processes share which torchrun started: each loads its rank, and rank 0 collects all notes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError
from tracer.execute import rank as rank_module
from tracer.execute.outcome import RankResult
from tracer.execute.rank import Job
from tracer.execute.several import Order, Part, lead
from tracer.recorder import read_spool
from tracer.sending import Tail
from tracer.unchanged import changed

if TYPE_CHECKING:
    from engine.crew.following import Follower
    from engine.crew.meeting import Crew
    from tracer.prepare import Request


def lead_load(crew: Crew, job: Job, device: str, look: Callable[[], None] | None = None) -> list[RankResult]:
    """Rank 0 here, the notes of the others collected beside its own, and looked at. Raises RankFailed, Lost."""
    from engine.crew.leading import Leader

    def keep(rank: int, data: bytes) -> None:
        with job.sent(rank).open("ab") as file:
            file.write(data)
        if look is not None:
            look()

    leader = Leader(crew, keep)
    order = {"device": device, "agreed": job.agreed}
    own = lead(crew, leader, order, lambda watch: _one(job, 0, device, _both(watch, look)))
    return [own, *(RankResult(*leader.done[rank]["result"]) for rank in crew.others)]


def _both(watch: Callable[[], None], look: Callable[[], None] | None) -> Callable[[], None]:
    def call() -> None:
        watch()
        if look is not None:
            look()

    return call


def load_part(request: Request) -> Part:
    """Another rank's part: load, sending on the notes as they are made."""
    return Part(partial(_load, request), request.device)


def _load(request: Request, follower: Follower, order: Order, rank: int) -> RankResult:
    """Raises InputError for a file that has changed meanwhile, RankFailed, Stopped, Lost."""
    from engine.processes.failed import RankFailed

    with TemporaryDirectory(prefix="trace-load-") as folder:
        job = Job(request, range(request.tp), Path(folder), None, order["agreed"], {})
        tail = Tail(job.spool(rank))

        def watch() -> None:
            follower.send(tail())
            follower.check()

        try:
            result = _one(job, rank, order["device"], watch)
        except RankFailed as failed:
            raise _damage(job, rank) or failed from None
        finally:
            follower.send(tail())
        damage = _damage(job, rank)
        if damage is not None:
            raise damage
        return result


def _one(job: Job, rank: int, device: str, watch: Callable[[], None]) -> RankResult:
    """One rank of several on several machines."""
    from engine.processes.launch import launch

    (result,) = launch(len(job.ranks), rank_module.rank_process, job, device=device, ranks=[rank], watch=watch)
    assert isinstance(result, RankResult)
    return result


def _damage(job: Job, rank: int) -> InputError | None:
    """What has become of the files that the rank has noted it would read."""
    notes = (note for batch in read_spool(job.spool(rank)) for note in batch)
    return changed({note[1]: Stamp(*note[2:]) for note in notes if note[0] == "file"})
