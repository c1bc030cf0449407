"""Several machines: what torchrun says of this process in its environment, and who of its processes does what.

    torchrun --nproc-per-node N --nnodes M ... -m tracer load DIR --tp N*M

Every process traces its own rank; rank 0 alone prints and writes the merged trace; all exit with its status.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tracer.commands import load
from tracer.errors import UsageError
from tracer.interrupts import Noted

if TYPE_CHECKING:
    from tracer.execute import Crew

GIVEN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets. A job scheduler that sets some of them does not mean this."""


class World(NamedTuple):
    """This process among those that torchrun started."""

    rank: int
    size: int


def world() -> World | None:
    """None where torchrun did not start this process. Raises UsageError for numbers that are none."""
    if not all(os.environ.get(name) for name in GIVEN):
        return None
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise UsageError(f"RANK={rank} WORLD_SIZE={size} in the environment: expected a rank below the world's size")
    return World(int(rank), int(size))


def silence() -> None:
    """Say nothing from here on, nor let a library: the output of a job is rank 0's."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def check(place: World, args: argparse.Namespace) -> None:
    """Raise UsageError for options that torchrun contradicts."""
    if args.rank is not None:
        raise UsageError(f"--rank {args.rank}: under torchrun every process traces its own rank")
    if args.tp != place.size:
        raise UsageError(f"--tp {args.tp}: torchrun started {place.size} processes (WORLD_SIZE), expected as many")


def together(place: World, args: argparse.Namespace, lead: Callable[[Crew], int]) -> int:
    """This process's part of the job, and the status with which all exit; `lead` is the command itself, on rank 0.

    Raises UsageError.
    """
    check(place, args)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a peer that went away is ours to tell
    from tracer import execute

    if place.rank:
        noted = Noted()
        return execute.follow(execute.join(place.rank, place.size), load.request(args), noted.status)
    crew, status = execute.join(place.rank, place.size), 1
    try:
        status = lead(crew)
        return status
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, when another rank has left with a failure
        execute.dismiss(crew, status)
