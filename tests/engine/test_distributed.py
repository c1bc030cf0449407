"""The launcher: results in rank order, and no rank outlives the failure of another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.processes.distributed import ProcessGroup
from engine.processes.failed import RankFailed
from engine.processes.launch import launch

LIMIT = 10.0
"""Seconds from a rank's failure to the exception, with all ranks gone."""


def collect(group: ProcessGroup, factor: int) -> tuple[int, torch.Tensor, torch.Tensor]:
    own = torch.tensor([[1.0, 2.0]]) * factor * (group.rank + 1)
    return group.rank, group.all_reduce(own.clone()), group.all_gather(own)


def fails(group: ProcessGroup, note: Path) -> bool:
    """Whether this is the rank that is about to fail; it writes down when."""
    if group.rank == 1:
        note.write_text(str(time.time()))
    return group.rank == 1


def raise_on_one(group: ProcessGroup, note: Path) -> None:
    if fails(group, note):
        raise ValueError("nothing to be done")
    group.all_reduce(torch.ones(1))


def leave_on_one(group: ProcessGroup, note: Path) -> None:
    if fails(group, note):
        os._exit(7)
    group.all_reduce(torch.ones(1))


def kill_on_one(group: ProcessGroup, note: Path) -> None:
    if fails(group, note):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)


def return_early_on_one(group: ProcessGroup, note: Path) -> None:
    if not fails(group, note):
        group.all_reduce(torch.ones(1))


def return_what_cannot_travel(group: ProcessGroup, note: Path) -> object:
    return (lambda: group) if fails(group, note) else None


def test_results_come_in_rank_order() -> None:
    for rank, (said, total, side_by_side) in enumerate(launch(2, collect, 10)):
        assert said == rank
        assert total.tolist() == [[30.0, 60.0]]
        assert side_by_side.tolist() == [[10.0, 20.0, 20.0, 40.0]]


@pytest.mark.parametrize(
    ("function", "rank", "message"),
    [
        (raise_on_one, 1, "ValueError: nothing to be done"),
        (leave_on_one, 1, "ended with exit code 7 and no report"),
        (kill_on_one, 1, "killed by signal 9"),
        (return_early_on_one, 0, ""),
        (return_what_cannot_travel, 1, "lambda"),
    ],
)
def test_a_failing_rank_ends_all_of_them(
    function: Callable[..., object], rank: int, message: str, tmp_path: Path
) -> None:
    note = tmp_path / "failed at"
    with pytest.raises(RankFailed) as caught:
        launch(2, function, note)
    assert time.time() - float(note.read_text()) < LIMIT
    assert caught.value.rank == rank
    assert message in caught.value.message
    assert multiprocessing.active_children() == []
    assert ("in raise_on_one" in caught.value.traceback_text) == (function is raise_on_one)
