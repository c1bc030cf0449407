"""A request whose logits are not finite ends alone; what others are given is what they are given without it."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import LLM, Completion, Sampling, Settings
from engine.sampling.sampler import NotFinite
from engine.serving.engine import Engine, Token
from engine.serving.serve import Prompt, run
from tests.engine.checkpoints import VOCABULARY, reference, save
from tests.engine.test_generation import engine_of
from tests.engine.worded import write_tokenizer
from tests.threads import one_thread

__all__ = ["one_thread"]
BAD = 150
"""An id whose embedding is NaN."""
ALL = f"{VOCABULARY} ({VOCABULARY} NaN) of {VOCABULARY} logits are not finite"
SETTINGS = Settings(block_size=4, cache_bytes=1 << 20)
TEN = Sampling(max_tokens=10, ignore_eos=True)
DRAWN = Sampling(temperature=1.2, seed=9, max_tokens=10, ignore_eos=True, logprobs=2)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("sound")
    save("llama", reference("llama"), found)
    write_tokenizer(found)
    return found


def spoiled(folder: Path, into: Path, name: str, row: int) -> Path:
    """A copy in which one row of a weight is NaN."""
    shutil.copytree(folder, into)
    tensors = load_file(folder / "model.safetensors")
    tensors[name][row] = torch.nan
    save_file(tensors, into / "model.safetensors", {"format": "pt"})
    return into


@pytest.fixture(scope="module")
def broken(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoiled(sound, tmp_path_factory.mktemp("broken") / "model", "model.embed_tokens.weight", BAD)


class Outcome(NamedTuple):
    """What became of one prompt."""

    tokens: list[int]
    finish: str
    error: str


def outcomes(engine: Engine, prompts: Sequence[Prompt]) -> list[Outcome]:
    """With the cache's books looked at after every pass."""
    told: list[list[Token]] = [[] for _ in prompts]
    for tokens in run(engine, prompts):
        engine.scheduler.check_integrity()
        for token in tokens:
            told[token.number].append(token)
    assert engine.scheduler.pool.available == engine.scheduler.pool.count, "a block is left behind"
    return [
        Outcome([t.choice.token for t in own if t.choice is not None], own[-1].finish or "", own[-1].error)
        for own in told
    ]


# --- the engine ---


@pytest.mark.parametrize("pass_tokens", [2048, 3])
def test_it_ends_alone_and_the_others_are_as_they_are_without_it(pass_tokens: int, sound: Path, broken: Path) -> None:
    """Before others and after, in one pass with them or chunk by chunk, and in the midst of its completion."""
    settings = SETTINGS._replace(pass_tokens=pass_tokens)
    good: list[Prompt] = [([5, 6, 7, 8, 9], TEN), ([9], DRAWN), ([8] * 9, TEN), ([5, 6, 7, 8, 10], DRAWN)]
    bad: list[Prompt] = [([BAD], TEN), ([5, 6, 7, 8, BAD], DRAWN), ([BAD] * 11, TEN)]
    mixed = [bad[0], good[0], good[1], bad[1], good[2], bad[2], good[3]]
    found = outcomes(engine_of(broken, settings), mixed)
    alone = [outcomes(engine_of(sound, settings), [prompt])[0] for prompt in good]
    assert [found[place] for place in (1, 2, 4, 6)] == alone
    assert [found[place] for place in (0, 3, 5)] == [
        Outcome([], "error", f"position {place}: {ALL}") for place in (0, 4, 10)
    ]


@pytest.mark.parametrize("family", ["mixtral", "qwen2-window", "phi3-longrope", "gpt2-untied"])
def test_no_kind_of_layer_carries_it_over(family: str, tmp_path: Path) -> None:
    """Experts, windows, rotations by length, learned positions: company changes nothing, whatever ends how."""
    save(family, reference(family), tmp_path / "sound")
    names = load_file(tmp_path / "sound" / "model.safetensors")
    table = next(name for name in names if name.endswith(("embed_tokens.weight", "wte.weight")))
    folder = spoiled(tmp_path / "sound", tmp_path / "broken", table, BAD)
    asked: list[Prompt] = [([BAD], TEN), ([5, 6, 7, 8, 9], TEN), ([9, BAD, 9], TEN), ([9], DRAWN), ([8] * 20, TEN)]
    together = outcomes(engine_of(folder, SETTINGS), asked)
    assert together == [outcomes(engine_of(folder, SETTINGS), [prompt])[0] for prompt in asked]
    assert [place for place, found in enumerate(together) if not found.tokens] == [0, 2]


def test_it_keeps_what_it_had_generated_before(sound: Path, tmp_path: Path) -> None:
    """The id that is not to be computed with comes up in the midst of the completion."""
    whole = outcomes(engine_of(sound, SETTINGS), [([7, 8], TEN)])[0].tokens
    place = next(place for place, token in enumerate(whole) if place > 1 and token not in [7, 8, *whole[:place]])
    folder = spoiled(sound, tmp_path / "model", "model.embed_tokens.weight", whole[place])
    (found,) = outcomes(engine_of(folder, SETTINGS), [([7, 8], TEN)])
    assert found == (whole[: place + 1], "error", f"position {2 + place}: {ALL}")


def test_one_logit_is_enough_and_is_counted(sound: Path, tmp_path: Path) -> None:
    engine = engine_of(spoiled(sound, tmp_path / "model", "lm_head.weight", 7), SETTINGS)
    found = outcomes(engine, [([5], TEN), ([6, 7], DRAWN)])
    said = f"1 (1 NaN) of {VOCABULARY} logits are not finite"
    assert found == [([], "error", f"position 0: {said}"), ([], "error", f"position 1: {said}")]


def test_what_it_left_in_blocks_that_others_get_is_never_looked_at(sound: Path, broken: Path) -> None:
    engine = engine_of(broken, SETTINGS._replace(cache_bytes=8 * 1536))
    assert engine.scheduler.pool.count == 8
    good: list[Prompt] = [([5, 6, 7, 8, 9], TEN), ([9], TEN), ([8] * 7, TEN)]
    expected = outcomes(engine_of(sound, SETTINGS), good)
    assert outcomes(engine, [([BAD] * 32, TEN)])[0].finish == "error"
    assert outcomes(engine, good) == expected


def test_the_error_can_leave_its_process() -> None:
    error = NotFinite({1: "7 (7 NaN) of 9 logits are not finite", 4: "x"})
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, NotFinite)
    assert (str(again), again.found) == (str(error), error.found)


# --- LLM ---


@pytest.fixture(scope="module", params=[1, 2])
def llm(request: pytest.FixtureRequest, broken: Path) -> Iterator[LLM]:
    with LLM(broken, request.param, SETTINGS) as found:
        yield found


def test_a_completion_says_where_and_the_model_goes_on(llm: LLM, sound: Path) -> None:
    """On one rank as on two, which decide each for itself."""
    expected = LLM(sound, settings=SETTINGS).generate([[5, 6], [7]], DRAWN)
    for _ in range(2):
        found = llm.generate([[5, 6], [6, BAD], [7]], DRAWN)
        assert [completion.finish_reason for completion in found] == ["length", "error", "length"]
        assert (found[1].error, found[1].token_ids, found[1].logprobs) == (f"position 1: {ALL}", [], [])
        for own, theirs in zip([found[0], found[2]], expected, strict=True):
            assert own.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
            assert _words(own) == _words(theirs)
            assert own.error is None


def _words(completion: Completion) -> Completion:
    return replace(completion, index=0, logprobs=None, top_logprobs=None)


def test_text_that_was_held_back_is_told(sound: Path, tmp_path: Path) -> None:
    """A word that might have begun a stop string is the end of the text after all."""
    with LLM(sound, settings=SETTINGS) as llm:
        (whole,) = llm.generate([[7, 8]], TEN)
    last = next(t for place, t in enumerate(whole.token_ids) if place > 1 and t not in [7, 8, *whole.token_ids[:place]])
    ended = whole.token_ids[: whole.token_ids.index(last) + 1]
    folder = spoiled(sound, tmp_path / "model", "model.embed_tokens.weight", last)
    with LLM(folder, settings=SETTINGS) as llm:
        (found,) = llm.generate([[7, 8]], replace(TEN, stop=(f" w{last} never",)))
    assert (found.finish_reason, found.token_ids) == ("error", ended)
    assert found.text == "".join(f" w{token}" for token in ended)
