"""Loads in which something happens to a rank half-way; and the command with such a load, for tests from outside.

    FAULT=KillsItself HALF_WAY=FILE python -m tests.faulty_ranks load DIR --tp 2

Half-way is where the second layer begins; that it was reached, and by which processes, is written to HALF_WAY.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.loading.loader import Copy, Loader
from engine.models import registry
from tests.verifying import LosesAParameter
from tracer.execute import outcome, rank

__all__ = ["LosesAParameter"]
LAYER = "model.layers.1."


class HalfWay(Loader):
    """Does something once, on one rank, before the second layer's first copy."""

    RANK = 1
    met = False

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        *_, self.last = (step for step in self.plan.steps(self.rank) if step.param.startswith("model.layers.0."))
        super().load(params)

    def perform(self, copy: Copy) -> None:
        if not self.met and copy.step.param.startswith(LAYER) and self.rank == self.RANK:
            self.met = True
            mark(Path(os.environ["HALF_WAY"]))
            self.happen()
        super().perform(copy)
        if copy.step == self.last:
            time.sleep(0.15)  # notes wait a tenth of a second

    def happen(self) -> None:
        raise NotImplementedError


def mark(path: Path) -> None:
    """Complete as soon as it is there."""
    partial = path.with_suffix(".partial")
    partial.write_text(f"{os.getpid()} {os.getppid()} {time.time()}")
    partial.rename(path)


class KillsItself(HalfWay):
    def happen(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(HalfWay):
    def happen(self) -> None:
        raise RuntimeError("planted failure\nwith a second line")


class RaisesOnRankZero(Raises):
    RANK = 0


class RunsOutOfMemory(HalfWay):
    def happen(self) -> None:
        torch.empty(1 << 55, dtype=torch.uint8)


class LeavesAsShellsSay(HalfWay):
    def happen(self) -> None:
        os._exit(137)


class CutsTheFile(HalfWay):
    """The file shrinks to one page under the map."""

    RANK = 0

    def happen(self) -> None:
        os.truncate(os.environ["FAULTY_FILE"], 4096)


class ReadsWhatWasCut(CutsTheFile):
    """... and is read through the map, past its new end."""

    def happen(self) -> None:
        super().happen()
        for position in range(len(self.plan.tensors)):
            self.source.tensor(position).sum()


class RewritesTheFile(HalfWay):
    """A byte changes in place, and nothing else can be seen of it."""

    RANK = 0

    def happen(self) -> None:
        with Path(os.environ["FAULTY_FILE"]).open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x7f")


class ReplacesTheFile(HalfWay):
    """Another file of the same content takes its name, as a download that is renamed does."""

    RANK = 0

    def happen(self) -> None:
        path = Path(os.environ["FAULTY_FILE"])
        copy = path.with_suffix(".new")
        copy.write_bytes(path.read_bytes())
        copy.rename(path)


class MapsAnotherFile(Loader):
    """From before the first tensor to after the last another file has the name."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        path = Path(os.environ["FAULTY_FILE"])
        aside = path.rename(path.with_suffix(".aside"))
        path.write_bytes(aside.read_bytes())
        try:
            super().load(params)
        finally:
            aside.rename(path)


class DiesWhenDone(Loader):
    """Rank 1, with every element written and every note on its way."""

    def load(self, params: Mapping[str, torch.Tensor]) -> None:
        super().load(params)
        if self.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Waits(HalfWay):
    """Long enough for a signal to come."""

    def happen(self) -> None:
        time.sleep(60)


class WaitsOnRankZero(Waits):
    RANK = 0


class TakesItsTime(Loader):
    """As long before each copy as the environment says."""

    def perform(self, copy: Copy) -> None:
        time.sleep(float(os.environ["PACE"]))
        super().perform(copy)


load_rank_process = rank.rank_process


def rank_process(group: Any, job: rank.Job) -> outcome.RankResult:
    """A rank's work with the fault that the environment names."""
    return load_rank_process(group, job._replace(loader=globals()[os.environ["FAULT"]]))


def without_memory(group: Any, job: rank.Job) -> outcome.RankResult:
    """A rank's work, where what is to hold its parameters is more than there are addresses."""
    registry.resolve = lambda _: _TooLarge  # type: ignore[assignment, return-value]
    return load_rank_process(group, job)


class _TooLarge:
    def __init__(self, *_: Any) -> None:
        torch.empty(1 << 55, dtype=torch.uint8)


if __name__ == "__main__":
    from tests import faulty_ranks
    from tracer.cli import main

    rank.rank_process = faulty_ranks.rank_process
    sys.exit(main())
