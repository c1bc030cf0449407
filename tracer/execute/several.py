"""The processes that torchrun started: rank 0 orders the work and hears how it went, the others do as it says.

What the work is, a load or a generation, `sharing` and `generated` know.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.crew.world import World, world
from tracer.errors import UsageError
from tracer.execute.device import equipment
from tracer.interrupts import expect_end

if TYPE_CHECKING:
    from engine.crew.following import Follower
    from engine.crew.leading import Leader
    from engine.crew.meeting import Crew

__all__ = ["Ended", "Order", "Part", "World", "abandon", "dismiss", "follow", "join", "lead", "refuse", "world"]

Ended = Callable[[], int | None]
"""The exit status if a signal told this process to end."""
Order = dict[str, Any]
"""What rank 0 tells the others: `device`, and what the work needs besides."""
FAILED: dict[str, Any] = {"ok": False, "stopped": False, "kind": "", "labels": {}, "message": ""}


class Part(NamedTuple):
    """What another rank than 0 does of a command."""

    work: Callable[[Follower, Order, int], Any]
    """Given the order and its rank, what it has to say at its end, ready for JSON. May raise anything."""
    device: str | None
    """What its own command line says."""


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


def lead(crew: Crew, leader: Leader, message: Order, own: Callable[[Callable[[], None]], Any]) -> Any:
    """What `own` gives, rank 0's part here, once all others have done theirs. Raises RankFailed, Lost."""
    from engine.crew.leading import order
    from engine.processes.failed import RankFailed

    meeting = _host_meeting(crew.rank)
    order(crew, message)
    try:
        return leader.run(own)
    except RankFailed as failed:
        if not failed.kind:  # torchrun ends the ranks beside a dead one, also while that is written down
            expect_end()
        raise
    except KeyboardInterrupt:
        dead = leader.dead()
        if dead is None:
            raise
        raise dead from None
    finally:
        del meeting


def _host_meeting(rank: int) -> object:
    """Where the ranks themselves will meet, for as long as the result is kept. Raises Lost."""
    from engine.crew.link import Lost
    from engine.processes.distributed import host_meeting

    try:
        return host_meeting(rank)
    except RuntimeError as error:
        raise Lost(f"cannot serve MASTER_PORT={os.environ['MASTER_PORT']} to the other ranks: {error}") from error


# --- the others ---


def follow(crew: Crew, part: Part, ended: Ended) -> int:
    """Another rank than 0: do its part when told to, say how it went; the status to exit with."""
    from engine.crew.following import Follower
    from engine.crew.link import Lost

    follower = Follower(crew, ended)
    with suppress(Lost):
        order = _order(follower, crew.size)
        if order is not None:
            follower.report(_done(follower, part, order, crew.rank))
        elif ended() is not None:
            follower.refuse("told to end, as torchrun does when another rank of its machine has died")
    status = follower.verdict()
    return (ended() or 1) if status is None else status


def _order(follower: Follower, size: int) -> Order | None:
    """Once rank 0 calls, say what this machine has, and wait for what to do with it; None for nothing. Raises Lost."""
    if not follower.called():
        return None
    try:
        follower.arrive(equipment(size))
    except UsageError as error:
        follower.refuse(str(error))
    return follower.order()


def _done(follower: Follower, part: Part, order: Order, rank: int) -> dict[str, Any]:
    """Do what was ordered; how it went. Whatever goes wrong, rank 0 is to hear of it and not of a silence."""
    from engine.crew.following import Stopped
    from engine.crew.link import Lost
    from engine.processes.failed import RankFailed

    try:
        if part.device not in (None, order["device"]):
            raise UsageError(f"--device {part.device}: expected {order['device']}, on which rank 0 computes")
        _host_meeting(rank)
        return FAILED | {"ok": True, "result": part.work(follower, order, rank)}
    except Lost:
        raise
    except Stopped:
        return FAILED | {"stopped": True}
    except RankFailed as failed:
        return FAILED | {"message": failed.message, "kind": failed.kind, "labels": failed.labels}
    except Exception as error:
        labels = {name: getattr(error, name, None) or "" for name in ("code", "subject")}
        kind = type(error).__name__
        return FAILED | {"message": f"{kind}: {error}", "kind": kind, "labels": labels}
