"""Ranks that processes of their own told what to serve: the same, whatever is drawn, or a refusal on all of them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.opened import Opened
from engine.sampling.params import Sampling
from engine.serving.alike import Different, agreed, check_opened
from engine.serving.serve import Settings
from tests.engine.checkpoints import Checkpoint, bind
from tests.engine.worded import write_bare, write_worded
from tests.several import as_ranks, finish

GREEDY, DRAWN = Sampling(), Sampling(temperature=1.0)


class Meeting:
    """Where the ranks of a group, threads here, lay down what they have."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.given: list[Any] = [None] * size
        self.all_here = threading.Barrier(size, timeout=60)


class Member:
    """One of them."""

    device = "cpu"

    def __init__(self, rank: int, meeting: Meeting) -> None:
        self.rank = rank
        self.size = meeting.size
        self._meeting = meeting

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        self._meeting.given[self.rank] = x
        self._meeting.all_here.wait()
        every = torch.cat(self._meeting.given, dim=-1)
        self._meeting.all_here.wait()
        return every

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def on_each(work: Callable[[Member, Any], Any], *told: Any) -> list[Any]:
    """What each rank makes of what it was told; a refusal as its text."""
    meeting, made = Meeting(len(told)), list[Any]([None] * len(told))

    def one(rank: int) -> None:
        try:
            made[rank] = work(Member(rank, meeting), told[rank])
        except Different as error:
            made[rank] = str(error)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(len(told))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


# --- prompts ---


def test_seeds_that_nobody_gave_are_the_same_on_all_ranks() -> None:
    prompts = [([5, 6], DRAWN), ([7], Sampling(temperature=1.0, seed=3)), ([8], DRAWN)]
    first, *others = on_each(agreed, prompts, prompts, prompts)
    assert others == [first, first]
    assert [ids for ids, _ in first] == [[5, 6], [7], [8]]
    seeds = [sampling.seed for _, sampling in first]
    assert None not in seeds
    assert seeds[1] == 3
    assert len({*seeds}) == 3
    assert on_each(agreed, prompts, prompts)[0] != first, "drawn anew each time"


@pytest.mark.parametrize("other", [
    [([5, 7], GREEDY)], [([5, 6], DRAWN)], [([5, 6], GREEDY), ([5], GREEDY)], [],
    [([5, 6], Sampling(stop=("\udcff",)))],
])  # fmt: skip
def test_other_prompts_on_one_rank_are_refused_by_all(other: list[Any]) -> None:
    prompts = [([5, 6], GREEDY)]
    said = "rank 1: expected the prompts and their sampling of rank 0, found something else"
    assert on_each(agreed, prompts, other, prompts) == [said] * 3


# --- what they depend on ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bare = write_bare(tmp_path_factory.mktemp("bare"))
    return write_worded(bare, tmp_path_factory.mktemp("worded") / "model")


def opened(folder: Path) -> Opened:
    checkpoint = Checkpoint(folder)
    return Opened(bind(checkpoint.config, 2, checkpoint.header), checkpoint, folder)


def longer_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text() + "\n")


def other_end(copy: Path) -> None:
    (copy / "generation_config.json").write_text('{"eos_token_id": 9}')


def other_config(copy: Path) -> None:
    config = copy / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.5}))


@pytest.mark.parametrize(("change", "settings", "what"), [
    (lambda copy: None, Settings(), ""),
    (lambda copy: None, Settings(pass_tokens=7), "the settings"),
    (lambda copy: (copy / "tokenizer.json").unlink(), Settings(), "the tokenizer.json"),
    (longer_tokenizer, Settings(), "the tokenizer.json"),
    (other_end, Settings(), "the ids that end a text"),
    (other_config, Settings(), "the config.json"),
])  # fmt: skip
def test_what_decisions_depend_on_must_be_the_same(
    folder: Path, tmp_path: Path, change: Callable[[Path], object], settings: Settings, what: str
) -> None:
    """Not so its place in the file system."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    said = f"rank 1: expected {what} of rank 0, found something else" if what else None
    told = (opened(folder), Settings()), (opened(copy), settings)
    assert on_each(lambda rank, given: check_opened(rank, *given), *told) == [said, said]


# --- all of it ---


def test_under_torchrun_each_process_has_the_completions_of_all(folder: Path) -> None:
    """Twice a model on all ranks; one each; and one of more ranks than there are."""
    first, second = (json.loads(finish(process).out) for process in as_ranks(["-m", "tests.engine.apart", folder], 2))
    refused = "rank 1: expected the prompts and their sampling of rank 0, found something else"
    for said in (first, second):
        assert said[1] == said[3] == refused
        assert said[5] == "tp 3: torchrun started 2 processes (WORLD_SIZE), expected as many, or 1"
        assert [len(ids) for ids in said[0]] == [10, 10]
    assert [first[0], first[2]] == [second[0], second[2]]
    assert first[0] != first[2], "drawn anew each time"
    assert first[4] != second[4], "nobody agreed on anything"
