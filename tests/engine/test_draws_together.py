"""Ranks whose processors add up probabilities otherwise: what rank 0 draws is what all go on with."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.processes.distributed import ProcessGroup
from engine.processes.launch import launch
from engine.sampling import sampler
from engine.sampling.draws import uniform
from engine.sampling.params import Sampling
from engine.sampling.sampler import Choice, Sampler
from engine.serving.engine import Engine
from engine.serving.serve import Prompt, Settings, run
from tests.engine.checkpoints import reference, save
from tests.engine.test_generation import engine_of, prompts
from tests.engine.test_steps_together import in_time
from tests.threads import one_thread

__all__ = ["one_thread"]
SETTINGS = Settings(block_size=4, cache_bytes=1 << 20, pass_tokens=16)
GREEDY = Sampling(max_tokens=12, ignore_eos=True, logprobs=0)
DRAWN = replace(GREEDY, temperature=1.5, seed=3)


def other(seed: int, step: int) -> float:
    """For an exaggeration of a processor that adds up otherwise."""
    return 1 - 2**-40 - uniform(seed, step)


def asked() -> list[Prompt]:
    """Drawn and greedy in one pass, and one that is alone when the others have ended."""
    each = [DRAWN, GREEDY, replace(DRAWN, seed=8, top_p=0.9), replace(DRAWN, max_tokens=20)]
    return [*zip(prompts(), each, strict=True)]


def told_by(engine: Engine) -> list[list[Choice]]:
    found: list[list[Choice]] = [[] for _ in asked()]
    for tokens in run(engine, asked()):
        for token in tokens:
            assert token.choice is not None, token.error
            found[token.number].append(token.choice)
    return found


def drawn_on(group: ProcessGroup, folder: Path) -> list[list[list[Choice]]]:
    """For `launch`: what one rank gives where the second draws otherwise, and where the first does."""
    engine, found = engine_of(folder, SETTINGS, group.size, group.rank, group), []
    for otherwise in (1, 0):
        with pytest.MonkeyPatch.context() as patch:
            if group.rank == otherwise:
                patch.setattr(sampler, "uniform", other)
            found.append(told_by(engine))
    return found


def tokens(found: list[list[Choice]]) -> list[list[int]]:
    return [[choice.token for choice in own] for own in found]


def logprobs(found: list[list[Choice]]) -> list[float | None]:
    return [choice.logprob for own in found for choice in own]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("llama")
    save("llama", reference("llama"), found)
    return found


def test_whatever_a_rank_draws_all_go_on_with_what_rank_0_draws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probabilities are those of the ids that are taken."""
    expected = [told_by(engine_of(folder, SETTINGS))]
    monkeypatch.setattr(sampler, "uniform", other)
    expected.append(told_by(engine_of(folder, SETTINGS)))
    assert tokens(expected[0]) != tokens(expected[1])
    for found in launch(2, drawn_on, folder, watch=partial(in_time, time.monotonic())):
        assert [*map(tokens, found)] == [*map(tokens, expected)]
        for ours, theirs in zip(found, expected, strict=True):
            assert logprobs(ours) == pytest.approx(logprobs(theirs), abs=1e-4)


class Follower:
    """A second rank's end of a group in which rank 0 has drawn these."""

    size = 2

    def __init__(self, *drawn: int) -> None:
        self.drawn, self.asked = torch.tensor(drawn), 0

    def all_reduce(self, x: Tensor) -> Tensor:
        return x

    def all_gather(self, x: Tensor) -> Tensor:
        self.asked += 1
        return torch.cat([self.drawn.to(x), x])


def test_only_what_is_drawn_is_asked_for_and_all_of_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "AT_ONCE", 1)
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    group = Follower(5, 7)
    greedy = Sampler(group).sample(logits, [GREEDY] * 4, [0] * 4)
    assert [choice.token for choice in greedy] == logits.argmax(-1).tolist()
    assert group.asked == 0
    mixed = Sampler(group).sample(logits, [GREEDY, DRAWN, GREEDY, DRAWN], [0] * 4)
    assert [choice.token for choice in mixed] == [greedy[0].token, 5, greedy[2].token, 7]
    assert group.asked == 1
    taken = logits.log_softmax(-1)[range(4), [choice.token for choice in mixed]]
    assert [choice.logprob for choice in mixed] == pytest.approx(taken.tolist())
