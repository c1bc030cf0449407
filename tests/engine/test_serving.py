"""Many requests on little memory, long prompts, and requests that are refused while others run."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.cache.tensors import bytes_per_block
from engine.models import registry
from engine.models.registry import MODELS, register
from engine.opened import Opened
from engine.sampling.params import Sampling
from engine.serving.engine import Engine
from engine.serving.refusal import Refused
from engine.serving.serve import Prompt, Settings, make_engine, run
from engine.text import Tokenizer
from mappings.plan import plan
from mappings.registry import choose
from tests.engine import checkpoints
from tests.engine.bigram import Bigram
from tests.engine.checkpoints import FAMILIES, SIZES, VOCABULARY, Checkpoint, reference, save
from tests.engine.packages import BIGRAM, install
from tests.engine.test_generation import engine_of, greedy
from tests.threads import one_thread

__all__ = ["one_thread"]
BLOCK = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("llama")
    save("llama", reference("llama"), found)
    return found


def small(folder: Path, blocks: int, **more: Any) -> Engine:
    """An engine whose cache has just so many blocks."""
    settings = Settings(block_size=BLOCK, cache_bytes=1 << 20, **more)
    one = bytes_per_block(engine_of(folder, settings).runner.cache.heads, BLOCK, torch.float32)
    engine = engine_of(folder, settings._replace(cache_bytes=blocks * one))
    assert engine.scheduler.pool.count == blocks
    return engine


def served(engine: Engine, prompts: Sequence[Prompt]) -> tuple[list[list[int]], list[int]]:
    """Tokens of each prompt, and the prompts in the order in which their first tokens came."""
    tokens: list[list[int]] = [[] for _ in prompts]
    first: list[int] = []
    for told in run(engine, prompts):
        engine.scheduler.check_integrity()
        for token in told:
            if not tokens[token.number]:
                first.append(token.number)
            assert token.choice is not None, token.error
            tokens[token.number].append(token.choice.token)
    return tokens, first


# --- many ---


def crowd() -> list[Prompt]:
    """200 requests of random lengths, greedy and drawn; a third begin with one of three common beginnings."""
    draw = random.Random(5)
    common = [[draw.randrange(3, VOCABULARY) for _ in range(24)] for _ in range(3)]
    found: list[Prompt] = []
    for number in range(200):
        ids = [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(1, 40))]
        if number % 3 == 0:
            ids = [*common[draw.randrange(3)], *ids][: draw.randint(1, 40)]
        heat = 1.0 if number % 2 else 0.0
        found.append((ids, Sampling(heat, seed=number, max_tokens=draw.randint(1, 24), ignore_eos=True)))
    return found


def test_two_hundred_requests_share_a_cache_too_small_for_them(folder: Path) -> None:
    """Fair: whoever came earlier has its first token earlier, or in the same pass."""
    requests = crowd()
    engine = small(folder, 48, sequences=24, pass_tokens=48)
    tokens, first = served(engine, requests)
    assert [len(found) for found in tokens] == [sampling.max_tokens for _, sampling in requests]
    assert first == list(range(200))
    assert engine.scheduler.preemptions > 0
    assert engine.scheduler.pool.reused > 0
    assert engine.scheduler.pool.available == engine.scheduler.pool.count
    for number in random.Random(1).sample(range(200), 20):
        alone = engine_of(folder, Settings(block_size=BLOCK, cache_bytes=1 << 20))
        assert served(alone, [requests[number]])[0][0] == tokens[number], f"request {number}"


# --- long ---


@pytest.mark.parametrize(("family", "window"), [("llama", None), ("mistral", 100)])
def test_a_long_prompt_in_chunks_is_continued_as_transformers_does(
    family: str, window: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = SIZES | {"max_position_embeddings": 8192} | ({"sliding_window": window} if window else {})
    monkeypatch.setitem(checkpoints.FAMILIES, family, FAMILIES[family]._replace(config=fields))
    model = reference(family)
    model.set_attn_implementation("sdpa")
    save(family, model, tmp_path)
    prompt = torch.randint(3, VOCABULARY, (4096,), generator=torch.Generator().manual_seed(2)).tolist()
    engine = engine_of(tmp_path, Settings(pass_tokens=512, cache_bytes=1 << 23))
    expected = greedy(model, prompt)
    assert served(engine, [(prompt, Sampling(max_tokens=len(expected), ignore_eos=True))])[0] == [expected]


# --- refused ---


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([], "empty prompt: expected at least one id"),
        ([5] * 64, "prompt of 64 ids: the longest sequence has 64, generated ones included"),
        ([5, VOCABULARY], f"id {VOCABULARY} at place 1 of the prompt: expected 0 to {VOCABULARY - 1}"),
        ([-1], f"id -1 at place 0 of the prompt: expected 0 to {VOCABULARY - 1}"),
        ([5] * 33, "prompt of 33 ids: needs 9 blocks of 4, the cache has 8"),
    ],
)
def test_who_cannot_be_served_is_told_why_and_the_others_are_served_on(
    prompt: list[int], says: str, folder: Path
) -> None:
    asked = ([7, 8, 9], Sampling(max_tokens=10, ignore_eos=True))
    expected = served(small(folder, 8), [asked])[0][0]
    engine, found = small(folder, 8), list[int]()
    engine.add(*asked)
    while engine.busy:
        found += [token.choice.token for token in engine.step() if token.choice is not None]
        with pytest.raises(ValueError) as raised:
            engine.add(prompt, Sampling())
        assert str(raised.value) == says
        engine.scheduler.check_integrity()
    assert found == expected


def test_one_bad_prompt_of_several_is_named_before_any_is_begun(folder: Path) -> None:
    engine = small(folder, 8)
    with pytest.raises(Refused, match=r"^prompt 1: empty prompt"):
        served(engine, [([5], Sampling()), ([], Sampling())])
    assert not engine.busy
    with pytest.raises(Refused, match=r"^stop strings need a tokenizer"):
        served(engine, [([5], Sampling(stop=("a",)))])
    with pytest.raises(Refused, match=r"^sampling: top_p: expected"):
        served(engine, [([5], Sampling(top_p=0))])


def test_whoever_stops_listening_ends_the_rest(folder: Path) -> None:
    engine = small(folder, 8)
    passes = run(engine, [([5], Sampling(max_tokens=20)), ([6, 7], Sampling(max_tokens=20))])
    next(passes)
    passes.close()
    assert not engine.busy
    assert engine.scheduler.pool.available == engine.scheduler.pool.count


# --- what does not fit ---


def test_a_cache_without_room_for_a_block_is_one_line(folder: Path) -> None:
    with pytest.raises(MemoryError) as raised:
        engine_of(folder, Settings(block_size=BLOCK, cache_bytes=100))
    assert str(raised.value) == "no memory for the cache: a block of 4 tokens takes 1536 bytes, 100 are there"


# --- models that do not generate ---


class Pooled(Bigram):
    """A bigram that is used for its vectors."""

    def pooler(self, hidden: Tensor, starts: Tensor) -> Tensor:
        return hidden[starts[1:].long() - 1]


def make_bigram(folder: Path) -> Engine:
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["Bigram"], "vocab_size": 8, "size": 4, "num_hidden_layers": 1})
    )
    save_file({f"{name}.weight": torch.ones(8, 4) for name in ("table", "head")}, folder / "model.safetensors")
    with Checkpoint(folder) as checkpoint:
        names = [line.name for line in checkpoint.header]
        planned = plan(choose(checkpoint.config, names, 1, "F32").binding, checkpoint.header)
        return make_engine(Opened(planned, checkpoint, folder), Settings())


def test_a_model_that_cannot_generate_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MODELS", dict(MODELS))
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, {key: found for key, found in BIGRAM.items() if key == "trace_load.architectures"})
    with pytest.raises(ValueError) as raised:
        make_bigram(tmp_path / "rows")
    assert str(raised.value) == "cannot generate: Bigram has rows and no modules"
    register("Bigram", Pooled, kind="pooling")
    with pytest.raises(ValueError) as raised:
        make_bigram(tmp_path / "pooling")
    assert str(raised.value) == "cannot generate: Pooled is a model for pooling, without a head"


# --- what goes wrong while requests come ---


def test_a_call_that_fails_while_its_prompts_are_added_leaves_none_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it disturb one that runs already."""
    asked = ([7, 8, 9], Sampling(max_tokens=10, ignore_eos=True))
    expected = served(small(folder, 8), [asked])[0][0]
    engine, found = small(folder, 8), list[int]()
    add = engine.add

    def fails_at_the_second(prompt: Sequence[int], sampling: Sampling) -> int:
        if prompt == [6]:
            raise OSError("broken")
        return add(prompt, sampling)

    number = engine.add(*asked)
    found += [token.choice.token for token in engine.step() if token.choice is not None]
    monkeypatch.setattr(engine, "add", fails_at_the_second)
    with pytest.raises(OSError, match=r"^broken$"):
        served(engine, [([5], Sampling()), ([6], Sampling())])
    assert list(engine.scheduler.running) == [number]
    assert not engine.scheduler.waiting
    while engine.busy:
        found += [token.choice.token for token in engine.step() if token.choice is not None]
        engine.scheduler.check_integrity()
    assert found == expected


def test_a_request_whose_text_cannot_be_begun_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.serving.engine.TextStream", lambda *_: pytest.fail("no text"))
    engine = small(folder, 8)
    engine._tokenizer = cast("Tokenizer", object())
    with pytest.raises(pytest.fail.Exception, match="no text"):
        engine.add([5], Sampling())
    assert not engine.busy
