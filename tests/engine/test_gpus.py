"""Which GPU a process takes, alone and as one of those that torchrun started, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine import LLM, Settings, llm
from engine.crew.world import GIVEN
from engine.processes.gpus import own_gpu

Torchrun = Callable[..., None]


@pytest.fixture(autouse=True)
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Torchrun:
    """Says what torchrun says; until it is called nothing is said."""
    for name in (*GIVEN, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def say(rank: int, size: int, local: int, here: int | None = None) -> None:
        told = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": here}
        for name, value in told.items():
            if value is not None:
                monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", "1")

    return say


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices of the models that were made; nothing is made of any."""
    found: list[str] = []

    def engine(_: object, settings: Settings) -> None:
        found.append(settings.device)

    def ranks(_: object, tp: int, settings: Settings, *__: object) -> Any:
        found.append(settings.device)
        return SimpleNamespace(run=None, folder=Path("nowhere"))

    monkeypatch.setattr(llm, "make_engine", engine)
    monkeypatch.setattr(llm, "Ranks", ranks)
    return found


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def count(number: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return count


def nothing() -> Any:
    return SimpleNamespace(folder=Path("nowhere"))


def test_a_process_of_several_takes_the_gpu_of_its_number_on_its_machine(torchrun: Torchrun) -> None:
    assert own_gpu("cuda") == "cuda"
    torchrun(rank=5, size=8, local=1)
    assert [own_gpu(device) for device in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:0", "cpu"]


def test_each_process_with_a_model_for_itself_has_its_own_gpu(
    torchrun: Torchrun, started: list[str], gpus: Callable[[int], None]
) -> None:
    gpus(2)
    LLM(nothing, settings=Settings("cuda"))
    for local in (0, 1):
        torchrun(rank=2 + local, size=4, local=local, here=2)
        LLM(nothing, settings=Settings("cuda"))
    LLM(nothing, settings=Settings("cuda:0"))
    assert started == ["cuda", "cuda:0", "cuda:1", "cuda:0"]
    torchrun(rank=2, size=4, local=2, here=3)
    with pytest.raises(ValueError, match=r"^device cuda:2, tp 1: expected 3 GPUs, found 2$"):
        LLM(nothing, settings=Settings("cuda"))


def test_one_gpu_for_two_ranks_is_refused(torchrun: Torchrun, started: list[str], gpus: Callable[[int], None]) -> None:
    """Unless they are on two machines."""
    gpus(8)
    said = r"^device cuda:4, tp 2: expected cuda, which is a GPU for each rank; found one for 2$"
    with pytest.raises(ValueError, match=said):
        LLM(nothing, 2, Settings("cuda:4"))
    torchrun(rank=1, size=2, local=1, here=2)
    with pytest.raises(ValueError, match=said):
        LLM(nothing, 2, Settings("cuda:4"))
    assert started == []
    torchrun(rank=1, size=2, local=0, here=1)
    LLM(nothing, 2, Settings("cuda:4"))
    assert started == ["cuda:4"]


def test_a_machine_with_fewer_gpus_than_ranks_is_refused_under_torchrun_too(
    torchrun: Torchrun, started: list[str], gpus: Callable[[int], None]
) -> None:
    gpus(1)
    for local in (0, 1):
        torchrun(rank=2 + local, size=4, local=local, here=2)
        with pytest.raises(ValueError, match=r"^device cuda, tp 4: expected 2 GPUs, found 1$"):
            LLM(nothing, 4, Settings("cuda"))
    torchrun(rank=3, size=4, local=0, here=1)
    LLM(nothing, 4, Settings("cuda"))
    assert started == ["cuda"]
