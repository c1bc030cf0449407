"""Several processes of one command, as torchrun would start them on several machines, and torchrun itself."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PLAIN = ("-m", "tracer")
FAULTY = ("-m", "tests.faulty_ranks")
EARLY = ("-m", "tests.early_death")
LIMIT = 60.0
"""Seconds after which a command is taken to hang."""


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    out: str
    err: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: Sequence[str | Path], given: dict[str, str] | None = None, folder: Path = ROOT
) -> subprocess.Popen[str]:
    """A process in a session of its own, so that a signal can go to all that it starts."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    inherited = {key: value for key, value in os.environ.items() if key not in names}
    environment = inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | (given or {})
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment, cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def as_ranks(
    command: Sequence[str | Path], size: int, given: dict[str, str] | None = None, folders: Sequence[Path] = ()
) -> list[subprocess.Popen[str]]:
    """One process a rank with the environment that torchrun gives, and nobody who watches over them."""
    return each([command] * size, given, folders)


def each(
    commands: Sequence[Sequence[str | Path]], given: dict[str, str] | None = None, folders: Sequence[Path] = ()
) -> list[subprocess.Popen[str]]:
    """The same with a command of its own for each rank."""
    port = str(free_port())
    place = {"WORLD_SIZE": str(len(commands)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": "1"}
    return [
        start(command, {**(given or {}), **place, "RANK": str(rank), "LOCAL_RANK": "0"},
              folders[rank] if folders else ROOT)
        for rank, command in enumerate(commands)
    ]  # fmt: skip


def torchrun(
    command: Sequence[str | Path], nodes: int, ranks: int, given: dict[str, str] | None = None
) -> list[subprocess.Popen[str]]:
    """`torchrun` once a machine, all of them this one."""
    port = str(free_port())
    return [
        start(["-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--nnodes", str(nodes), "--node-rank",
               str(node), "--master-addr", "127.0.0.1", "--master-port", port, *command], given)
        for node in range(nodes)
    ]  # fmt: skip


def finish(process: subprocess.Popen[str], limit: float = LIMIT) -> Ended:
    """Wait for the end; a process that hangs is ended with all it started, and fails the test."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


def wait_for(path: Path, limit: float = LIMIT) -> list[int]:
    """The process that got half-way, and its parent."""
    deadline = time.monotonic() + limit
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} was not reached"
        time.sleep(0.05)
    return [int(number) for number in path.read_text().split()[:2]]


def alive(number: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
