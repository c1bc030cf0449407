"""The oracle is Transformers: greedy tokens are its own, however the work is cut into passes, blocks and ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.cache.tensors import bytes_per_block
from engine.opened import Opened
from engine.parallel import ALONE, Group
from engine.processes.distributed import ProcessGroup
from engine.processes.launch import launch
from engine.sampling.params import Sampling
from engine.serving.engine import Engine
from engine.serving.serve import Settings, make_engine, run
from tests.engine.checkpoints import FAMILIES, VOCABULARY, Checkpoint, bind, reference, save
from tests.threads import one_thread

__all__ = ["one_thread"]
LENGTHS = (3, 9, 17, 26)
NEW = 32
GREEDY = Sampling(max_tokens=NEW, ignore_eos=True)
BLOCK = 4

Tokens = list[list[int]]
Made = Callable[[str], tuple[Path, Tokens]]


def prompts() -> Tokens:
    """Of different lengths; the last two begin alike."""
    draw = torch.Generator().manual_seed(11)
    found = [torch.randint(3, VOCABULARY, (length,), generator=draw).tolist() for length in LENGTHS]
    return [*found[:3], found[2][:13] + found[3][13:]]


def greedy(model: Any, prompt: Sequence[int]) -> list[int]:
    """What Transformers' `generate` makes of one prompt; of a copy, as its rotary embeddings remember longer ones."""
    model = deepcopy(model)
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt])
    told = model.generate(ids, max_new_tokens=NEW, do_sample=False, attention_mask=torch.ones_like(ids))
    return list(told[0, len(prompt) :].tolist())


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A family's checkpoint and the tokens of Transformers, made once."""
    root = tmp_path_factory.mktemp("generation")

    @cache
    def one(family: str) -> tuple[Path, Tokens]:
        model = reference(family)
        save(family, model, root / family)
        return root / family, [greedy(model, prompt) for prompt in prompts()]

    return one


def engine_of(folder: Path, settings: Settings, tp: int = 1, rank: int = 0, group: Group = ALONE) -> Engine:
    with Checkpoint(folder) as checkpoint:
        plan = bind(checkpoint.config, tp, checkpoint.header)
        return make_engine(Opened(plan, checkpoint, folder), settings, rank, group)


def tokens_of(engine: Engine, asked: Tokens) -> Tokens:
    """Serve prompts together, looking after every pass whether the cache's books are right."""
    found: Tokens = [[] for _ in asked]
    for tokens in run(engine, [(prompt, GREEDY) for prompt in asked]):
        engine.scheduler.check_integrity()
        for token in tokens:
            assert token.choice is not None, token.error
            found[token.number].append(token.choice.token)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_one_rank_generates_what_transformers_does(family: str, made: Made) -> None:
    """Batched or alone, in whole prompts or in chunks, from a cold cache or one that has seen them."""
    folder, expected = made(family)
    settings = Settings(block_size=BLOCK, cache_bytes=1 << 22, max_length=64)
    engine = engine_of(folder, settings)
    assert tokens_of(engine, prompts()) == expected, "batched"
    before = engine.scheduler.pool.reused
    assert tokens_of(engine, prompts()) == expected, "from a cache that has seen them"
    assert engine.scheduler.pool.reused > before
    chunked = engine_of(folder, settings._replace(pass_tokens=5))
    assert tokens_of(chunked, prompts()) == expected, "in chunks"
    alone = engine_of(folder, settings)
    assert [tokens_of(alone, [prompt])[0] for prompt in prompts()] == expected, "alone"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_too_small_for_all_changes_nothing(family: str, made: Made) -> None:
    folder, expected = made(family)
    roomy = engine_of(folder, Settings(block_size=BLOCK, cache_bytes=1 << 22, max_length=64))
    one = bytes_per_block(roomy.runner.cache.heads, BLOCK, torch.float32)
    engine = engine_of(folder, Settings(block_size=BLOCK, cache_bytes=20 * one, max_length=64))
    assert engine.scheduler.pool.count == 20
    assert tokens_of(engine, prompts()) == expected
    assert engine.scheduler.preemptions > 0
    assert engine.scheduler.pool.available == engine.scheduler.pool.count


def tokens_on(group: ProcessGroup, root: Path, families: Sequence[str]) -> dict[str, Tokens]:
    """For `launch`: one rank's tokens of several checkpoints."""
    settings = Settings(block_size=BLOCK, cache_bytes=1 << 22, max_length=64)
    return {f: tokens_of(engine_of(root / f, settings, group.size, group.rank, group), prompts()) for f in families}


def test_two_ranks_generate_what_transformers_does(made: Made) -> None:
    expected = {family: made(family) for family in FAMILIES}
    root = next(iter(expected.values()))[0].parent
    for rank, found in enumerate(launch(2, tokens_on, root, list(FAMILIES))):
        assert [f for f in FAMILIES if found[f] != expected[f][1]] == [], f"rank {rank}"
