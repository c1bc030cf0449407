"""Two ranks of which one cannot record what the other can: they go on together, or end together."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.processes.distributed import ProcessGroup
from engine.processes.failed import RankFailed
from engine.processes.launch import launch
from engine.serving.steps import Record, Replay
from tests.engine.checkpoints import load, reference, save
from tests.engine.test_steps import SCHEDULE, Company, agree, anew, failing
from tests.threads import one_thread

__all__ = ["one_thread"]
LIMIT = 60.0
"""Seconds after which ranks are taken to hang."""


def in_time(started: float) -> None:
    """For `launch`: ranks that wait for each other for ever are ended."""
    if time.monotonic() - started > LIMIT:
        raise TimeoutError("the ranks wait for each other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("llama")
    save("llama", reference("llama"), found)
    return found


def served_on(group: ProcessGroup, folder: Path, unable: int) -> list[list[int]]:
    """For `launch`: what one rank recorded, where one could not record the first form, or the second."""
    model, found = load(folder, group.size, group.rank, group), []
    for at in range(2):
        ours = Company(model, failing(at) if group.rank == unable else anew, group=group)
        agree(ours, Company(model, None))
        found.append(ours.recorded)
    return found


@pytest.mark.parametrize("unable", [0, 1])
def test_what_one_rank_cannot_record_no_rank_replays_and_all_go_on(unable: int, folder: Path) -> None:
    """With the logits and ids of passes that nobody tries to record."""
    assert launch(2, served_on, folder, unable, watch=partial(in_time, time.monotonic())) == [[[], [1]]] * 2


def broken_on(group: ProcessGroup, folder: Path, broken: int) -> None:
    """For `launch`: memory ends on one rank in the midst of the pass that is to tell whether it can be recorded."""
    model = load(folder, group.size, group.rank, group)
    inner = model.compute_logits

    def tried(compute: Callable[[], Tensor]) -> Replay:
        if group.rank == broken:
            model.compute_logits = without_memory  # type: ignore[method-assign]
        try:
            compute()
        finally:
            model.compute_logits = inner  # type: ignore[method-assign]
        return compute

    record: Record = tried
    ours = Company(model, record, group=group)
    for which in SCHEDULE:
        ours.advance(which)


def without_memory(hidden: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("broken", [0, 1])
def test_memory_that_ends_on_one_rank_while_a_pass_is_tried_ends_both_and_is_what_is_told(
    broken: int, folder: Path
) -> None:
    """The other waits for its logits meanwhile."""
    with pytest.raises(RankFailed) as caught:
        launch(2, broken_on, folder, broken, watch=partial(in_time, time.monotonic()))
    assert (caught.value.rank, caught.value.kind) == (broken, "OutOfMemoryError")
