"""The processes that torchrun started: rank 0 orders the load and collects the notes, the others do as it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError, UsageError
from tracer.execute import rank as rank_module
from tracer.execute.device import equipment
from tracer.execute.outcome import RankResult
from tracer.execute.rank import Job
from tracer.recorder import read_spool
from tracer.sending import Tail
from tracer.unchanged import changed

if TYPE_CHECKING:
    from engine.crew.following import Follower
    from engine.crew.meeting import Crew
    from tracer.prepare import Request

Ended = Callable[[], int | None]
"""The exit status if a signal told this process to end."""


# --- arriving ---


def join(rank: int, size: int) -> Crew:
    """This process's place among those that torchrun started. Raises UsageError where they cannot meet."""
    from engine.crew.link import Lost
    from engine.crew.meeting import Crew

    try:
        return Crew(rank, size)
    except Lost as error:
        raise UsageError(str(error)) from error


def _briefly(rank: int, size: int) -> Crew | None:
    """The crew for one who has only to say that it will not work; None where it cannot be said."""
    from engine.crew.link import Lost
    from engine.crew.meeting import LATE, Crew

    try:
        return Crew(rank, size, LATE)
    except Lost:
        return None


def refuse(rank: int, size: int, message: str, ended: Ended) -> int | None:
    """Have rank 0 say why this rank takes no part; the status of all, None where nobody has answered."""
    crew = _briefly(rank, size)
    if crew is None:
        return None
    from engine.crew.following import Follower
    from engine.crew.link import Lost

    try:
        follower = Follower(crew, ended)
        follower.refuse(message)
    except Lost:
        return None
    return follower.verdict()


# --- rank 0 ---


def abandon(size: int, status: int) -> None:
    """The end of a rank 0 that takes no part itself: the others need not wait for it."""
    crew = _briefly(0, size)
    if crew is not None:
        dismiss(crew, status)


def dismiss(crew: Crew, status: int) -> None:
    """The end of rank 0: the others exit with the same status."""
    from engine.crew import leading

    leading.dismiss(crew, status)


def lead(crew: Crew, job: Job, device: str) -> list[RankResult]:
    """Rank 0 here, the notes of the others collected beside its own. Raises RankFailed, Lost."""
    from engine.crew.leading import Leader, order

    def keep(rank: int, data: bytes) -> None:
        with job.sent(rank).open("ab") as file:
            file.write(data)

    leader = Leader(crew, keep)
    meeting = _host_meeting(crew.rank)
    order(crew, {"device": device, "agreed": job.agreed})
    try:
        own = leader.run(lambda watch: _one(job, 0, device, watch))
    except KeyboardInterrupt:
        dead = leader.dead()
        if dead is None:
            raise
        raise dead from None
    finally:
        del meeting
    return [own, *(RankResult(*leader.done[rank]["result"]) for rank in crew.others)]


def _host_meeting(rank: int) -> object:
    """Where the ranks themselves will meet, for as long as the result is kept. Raises Lost."""
    from engine.crew.link import Lost
    from engine.processes.distributed import host_meeting

    try:
        return host_meeting(rank)
    except RuntimeError as error:
        raise Lost(f"cannot serve MASTER_PORT={os.environ['MASTER_PORT']} to the other ranks: {error}") from error


def _one(job: Job, rank: int, device: str, watch: Callable[[], None]) -> RankResult:
    """One rank of several on several machines."""
    from engine.processes.launch import launch

    (result,) = launch(len(job.ranks), rank_module.rank_process, job, device=device, ranks=[rank], watch=watch)
    assert isinstance(result, RankResult)
    return result


# --- the others ---


def follow(crew: Crew, request: Request, ended: Ended) -> int:
    """The part of another rank than 0: load when told to, hand over the notes; the status to exit with."""
    from engine.crew.following import Follower
    from engine.crew.link import Lost

    follower = Follower(crew, ended)
    with suppress(Lost):
        order = _order(follower, crew.size)
        if order is not None:
            follower.report(_work(follower, request, order, crew.rank))
        elif ended() is not None:
            follower.refuse("told to end, as torchrun does when another rank of its machine has died")
    status = follower.verdict()
    return (ended() or 1) if status is None else status


def _order(follower: Follower, size: int) -> dict[str, Any] | None:
    """Once rank 0 calls, say what this machine has, and wait for what to do with it; None for nothing. Raises Lost."""
    if not follower.called():
        return None
    try:
        follower.arrive(equipment(size))
    except UsageError as error:
        follower.refuse(str(error))
    return follower.order()


def _work(follower: Follower, request: Request, order: dict[str, Any], rank: int) -> dict[str, Any]:
    """Do what was ordered; how it went. Whatever goes wrong, rank 0 is to hear of it and not of a silence."""
    from engine.crew.link import Lost

    done: dict[str, Any] = {"ok": False, "stopped": False, "kind": "", "labels": {}, "message": ""}
    try:
        _check_device(request, order["device"])
        with TemporaryDirectory(prefix="trace-load-") as folder:
            job = Job(request, range(request.tp), Path(folder), None, order["agreed"], {})
            _host_meeting(rank)
            return done | _load(follower, job, rank, order["device"])
    except Lost:
        raise
    except Exception as error:
        return done | {"message": f"{type(error).__name__}: {error}", "kind": type(error).__name__}


def _check_device(request: Request, ordered: str) -> None:
    if request.device not in (None, ordered):
        raise UsageError(f"--device {request.device}: expected {ordered}, on which rank 0 computes")


def _load(follower: Follower, job: Job, rank: int, device: str) -> dict[str, Any]:
    """Load one rank, sending on its notes as they are made; how it went."""
    from engine.crew.following import Stopped
    from engine.processes.failed import RankFailed

    tail = Tail(job.spool(rank))

    def watch() -> None:
        follower.send(tail())
        follower.check()

    done: dict[str, Any] = {}
    try:
        done = {"ok": True, "result": _one(job, rank, device, watch)}
    except RankFailed as failed:
        done = {"message": failed.message, "kind": failed.kind, "labels": failed.labels}
    except Stopped:
        done = {"stopped": True}
    follower.send(tail())
    damage = _damage(job, rank)
    if damage is not None and "stopped" not in done:
        labels = {"code": damage.code or "", "subject": damage.subject or ""}
        done = {"message": f"InputError: {damage}", "kind": "InputError", "labels": labels}
    return done


def _damage(job: Job, rank: int) -> InputError | None:
    """What has become of the files that the rank has noted it would read."""
    notes = (note for batch in read_spool(job.spool(rank)) for note in batch)
    return changed({note[1]: Stamp(*note[2:]) for note in notes if note[0] == "file"})
