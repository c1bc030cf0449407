"""Several machines: what torchrun says of this process in its environment, and who of its processes does what.

    torchrun --nproc-per-node N --nnodes M ... -m tracer load DIR --tp N*M
    torchrun --nproc-per-node N --nnodes M ... -m tracer generate DIR --tp N*M "prompt"

Every process loads its own rank; rank 0 alone prints and writes what there is to tell; all exit with its status.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Protocol

from tracer import execute
from tracer.commands import generate, load
from tracer.commands.output import printable
from tracer.errors import TraceLoadError, UsageError
from tracer.execute import World
from tracer.interrupts import Noted

if TYPE_CHECKING:
    from tracer.execute import Crew, Part

__all__ = ["SHARED", "World", "absence_told", "check", "parsed", "silence", "together", "world"]


class Command(Protocol):
    """A command that several processes do together."""

    def run(self, args: argparse.Namespace, crew: Crew | None = None) -> int:
        """All of it, or rank 0's part where there is a crew; the exit status."""

    def part(self, args: argparse.Namespace) -> Part:
        """What another rank does of it. Raises TraceLoadError."""


SHARED: tuple[Command, ...] = (load, generate)


def world() -> World | None:
    """None where torchrun did not start this process. Raises UsageError for numbers that are none."""
    try:
        return execute.world()
    except ValueError as error:
        raise UsageError(str(error)) from error


def parsed(place: World, parse: Callable[[], argparse.Namespace]) -> argparse.Namespace:
    """The options. Where they are refused, the others hear of it before this process leaves as argparse has it."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a peer that went away is ours to tell
    said = io.StringIO()
    try:
        if place.rank == 0:
            return parse()
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            return parse()
    except SystemExit as stop:
        if stop.code and place.rank:
            raise SystemExit(_refused(place, said.getvalue().strip().partition(": ")[2], Noted())) from None
        if stop.code:
            execute.abandon(place.size, int(stop.code))
        raise


def check(place: World, args: argparse.Namespace) -> None:
    """Raise UsageError for options that torchrun contradicts."""
    if getattr(args, "rank", None) is not None:
        raise UsageError(f"--rank {args.rank}: under torchrun every process traces its own rank")
    if args.tp != place.size:
        raise UsageError(f"--tp {args.tp}: torchrun started {place.size} processes (WORLD_SIZE), expected as many")


def together(place: World, command: Command, args: argparse.Namespace, lead: Callable[[Crew], int]) -> int:
    """This process's part of the job, and the status with which all exit; `lead` is the command itself, on rank 0.

    Raises UsageError.
    """
    if place.rank:
        return _follow(place, command, args)
    crew, status = execute.join(place.rank, place.size), 1
    try:
        status = lead(crew)
        return status
    finally:
        # Ctrl-C may come twice, and torchrun ends whoever is left when a rank has left with a failure.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        execute.dismiss(crew, status)


@contextmanager
def absence_told(crew: Crew) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM say who is not here: torchrun ends the ranks beside a dead one."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if absent := crew.absent():
            stop.add_note(absent)
        raise


def _follow(place: World, command: Command, args: argparse.Namespace) -> int:
    """The part of another rank than 0. Once it has arrived it says nothing: the output of a job is rank 0's."""
    noted = Noted()
    try:
        check(place, args)
        part = command.part(args)
    except TraceLoadError as error:
        return _refused(place, str(error), noted)
    crew = execute.join(place.rank, place.size)
    silence()
    return execute.follow(crew, part, noted.status)


def _refused(place: World, message: str, noted: Noted) -> int:
    """Have rank 0 say why this rank takes no part. Where it does not, the message is said here."""
    status = execute.refuse(place.rank, place.size, message, noted.status)
    if status:
        return status
    print(printable(f"tracer: {message}"), file=sys.stderr)
    return 2


def silence() -> None:
    """Say nothing from here on, nor let a library."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
