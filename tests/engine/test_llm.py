"""`LLM` as a user has it: a folder in, completions out, on one rank or on several in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Library

from engine import LLM, Completion, Sampling, Settings
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.models.contract import CausalLM
from engine.opened import Opened
from engine.processes.failed import RankFailed
from tests.engine.checkpoints import VOCABULARY, Checkpoint, bind, load
from tests.engine.test_generation import engine_of, prompts, tokens_of
from tests.engine.worded import bare, folder, write_worded
from tests.threads import one_thread

__all__ = ["bare", "folder", "one_thread"]
SETTINGS = Settings(block_size=4, cache_bytes=1 << 20)
TEN = Sampling(max_tokens=10, ignore_eos=True)
DRAWN = Sampling(temperature=1.2, top_p=0.95, top_k=50, min_p=0.001, seed=9, max_tokens=10, ignore_eos=True)


@pytest.fixture(scope="module")
def alone(folder: Path) -> LLM:
    return LLM(folder, settings=SETTINGS)


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[LLM]:
    """Two ranks in processes of their own."""
    with LLM(folder, tp=2, settings=SETTINGS) as llm:
        yield llm


def opened_at(folder: Path, tp: int) -> Opened:
    """An opener of one's own, which knows nothing of `tracer`."""
    checkpoint = Checkpoint(folder)
    return Opened(bind(checkpoint.config, tp, checkpoint.header), checkpoint, folder)


def tokens(found: list[Completion]) -> list[list[int]]:
    return [completion.token_ids for completion in found]


def agree(completions: list[Completion], model: CausalLM) -> None:
    """Log-probabilities are those that one pass over prompt and completion at once, without a cache, tells."""
    for found in completions:
        assert found.logprobs is not None and found.top_logprobs is not None
        ids = torch.tensor(found.prompt_ids + found.token_ids)
        with torch.inference_mode():
            logits = model.compute_logits(model.forward(ids, torch.arange(len(ids)), WHOLE_SEQUENCE))
        expected = logits.log_softmax(-1)[len(found.prompt_ids) - 1 : -1]
        own = expected.gather(1, torch.tensor(found.token_ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(found.logprobs), own, rtol=1e-4, atol=1e-5)
        values, most = expected.topk(len(found.top_logprobs[0]))
        assert [[token for token, _ in top] for top in found.top_logprobs] == most.tolist()
        told = torch.tensor([[value for _, value in top] for top in found.top_logprobs])
        torch.testing.assert_close(told, values, rtol=1e-4, atol=1e-5)


# --- what is loaded ---


def test_a_folder_and_an_opener_give_what_the_engine_gives(bare: Path) -> None:
    expected = [found[: TEN.max_tokens] for found in tokens_of(engine_of(bare, SETTINGS), prompts())]
    for model in (bare, str(bare), partial(opened_at, bare, 1)):
        assert tokens(LLM(model, settings=SETTINGS).generate(prompts(), TEN)) == expected


def test_a_completion_says_which_prompt_it_is_of(alone: LLM) -> None:
    found = alone.generate(prompts(), TEN)
    assert [completion.index for completion in found] == [0, 1, 2, 3]
    assert [completion.prompt_ids for completion in found] == prompts()
    assert {completion.finish_reason for completion in found} == {"length"}
    assert all(completion.logprobs is None and completion.top_logprobs is None for completion in found)


def test_the_default_is_greedy_and_sixteen_tokens(alone: LLM) -> None:
    (default,) = alone.generate([prompts()[0]])
    (spelled,) = alone.generate([prompts()[0]], Sampling(temperature=0.0, max_tokens=16))
    assert default == spelled
    assert default.finish_reason == "stop" or len(default.token_ids) == 16


def test_nobody_asks_nothing(alone: LLM) -> None:
    assert alone.generate([]) == []


# --- sampling ---


def test_each_prompt_may_have_a_sampling_of_its_own(alone: LLM) -> None:
    each = [TEN, DRAWN, Sampling(max_tokens=3, ignore_eos=True), TEN]
    together = alone.generate(prompts(), each)
    assert together[1].token_ids != alone.generate([prompts()[1]], TEN)[0].token_ids
    for prompt, own, found in zip(prompts(), each, together, strict=True):
        assert alone.generate([prompt], own)[0].token_ids == found.token_ids
    with pytest.raises(ValueError, match="2 samplings for 4 prompts: expected one for all, or one each"):
        alone.generate(prompts(), [TEN, TEN])


def test_a_seed_draws_the_same_again_and_none_draws_anew(alone: LLM) -> None:
    prompt = prompts()[:1]
    first = tokens(alone.generate(prompt, DRAWN))
    assert tokens(alone.generate(prompt, DRAWN)) == first
    free = Sampling(temperature=5.0, max_tokens=10, ignore_eos=True)
    assert tokens(alone.generate(prompt, free)) != tokens(alone.generate(prompt, free))


def test_logprobs_are_those_of_our_own_logits(alone: LLM, folder: Path) -> None:
    asked = Sampling(temperature=1.0, top_k=3, seed=4, max_tokens=10, ignore_eos=True, logprobs=5)
    agree(alone.generate(prompts(), asked), load(folder, 1))


# --- text and ends ---


def test_text_is_what_the_tokenizer_makes_of_the_ids(alone: LLM, folder: Path) -> None:
    library = Library.from_file(str(folder / "tokenizer.json"))
    heard: dict[int, str] = {}

    def listen(brought: list[Any]) -> None:
        for token in brought:
            heard[token.number] = heard.get(token.number, "") + token.text

    given: list[str | list[int]] = ["w5 w9 w11", [7, 8], "w190"]
    found = alone.generate(given, DRAWN, listen)
    assert [completion.prompt_ids for completion in found] == [[5, 9, 11], [7, 8], [190]]
    for completion in found:
        before = library.decode(completion.prompt_ids)
        assert completion.text is not None
        assert before + completion.text == library.decode(completion.prompt_ids + completion.token_ids)
        assert completion.text == heard[completion.index]


def test_a_stop_string_ends_before_it(alone: LLM) -> None:
    (whole,) = alone.generate([[7, 8]], TEN)
    assert whole.text is not None
    word = f"w{whole.token_ids[4]}"
    place = whole.text.index(word)
    (ended,) = alone.generate([[7, 8]], Sampling(max_tokens=10, ignore_eos=True, stop=("never", word)))
    assert ended.text == whole.text[:place]
    assert ended.finish_reason == "stop"
    assert ended.token_ids == whole.token_ids[: len(ended.token_ids)]
    assert len(ended.token_ids) <= 5


def test_an_end_of_sequence_ends_and_has_no_text(bare: Path, alone: LLM, tmp_path: Path) -> None:
    (whole,) = alone.generate([[7, 8]], TEN)
    eos = whole.token_ids[4]
    ended = whole.token_ids[: whole.token_ids.index(eos) + 1]
    model = tmp_path / "model"
    write_worded(bare, model)
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [199, eos]}))
    llm = LLM(model, settings=SETTINGS)
    (found,) = llm.generate([[7, 8]], Sampling(max_tokens=10))
    assert (found.token_ids, found.finish_reason) == (ended, "stop")
    assert found.text == "".join(f" w{token}" for token in ended[:-1])
    (on,) = llm.generate([[7, 8]], TEN)
    assert (on.token_ids, on.finish_reason) == (whole.token_ids, "length")
    (stopped,) = llm.generate([[7, 8]], Sampling(max_tokens=10, ignore_eos=True, stop_ids=(eos,)))
    assert (stopped.token_ids, stopped.finish_reason) == (ended, "stop")


def test_the_models_length_ends_too(alone: LLM) -> None:
    (found,) = alone.generate([[5] * 60], Sampling(max_tokens=100, ignore_eos=True))
    assert (len(found.token_ids), found.finish_reason) == (4, "length")


def test_text_without_a_tokenizer_is_refused_with_the_reason(bare: Path) -> None:
    llm = LLM(bare, settings=SETTINGS)
    with pytest.raises(ValueError) as raised:
        llm.generate(["w5"])
    assert str(raised.value) == (
        f"a prompt of text needs a tokenizer, give ids instead: {bare} has no tokenizer.json"
    )
    assert llm.generate([[5]])[0].text is None


def test_what_is_no_list_of_prompts_is_refused(alone: LLM) -> None:
    """A text is a sequence of texts, to Python; nobody means that."""
    lone: Any
    for lone in ("w5 w6", [5, 6]):
        with pytest.raises(ValueError, match="expected a list of prompts"):
            alone.generate(lone)
    broken: Any
    for broken in ([5.0], ["w5"], [None]):
        with pytest.raises(TypeError):
            alone.generate([broken])
    assert tokens(alone.generate([list(torch.tensor([5, 6]))], TEN)) == tokens(alone.generate([[5, 6]], TEN))


# --- several ranks ---


def test_two_ranks_give_what_one_does_again_and_again(alone: LLM, pair: LLM) -> None:
    for sampling in (TEN, DRAWN, Sampling(max_tokens=10, logprobs=2), TEN):
        expected, found = alone.generate(prompts(), sampling), pair.generate(prompts(), sampling)
        assert tokens(found) == tokens(expected)
        assert [completion.text for completion in found] == [completion.text for completion in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


def test_a_draw_without_a_seed_is_the_same_on_all_ranks(pair: LLM, folder: Path) -> None:
    """Else each would compute its share of another sequence, and their logits would be those of none."""
    asked = Sampling(temperature=3.0, max_tokens=20, ignore_eos=True, logprobs=1)
    agree(pair.generate(prompts(), asked), load(folder, 1))


def test_a_refused_prompt_leaves_the_ranks_alive(alone: LLM, pair: LLM) -> None:
    for given, says in (
        ([[5], [VOCABULARY]], f"prompt 1: id {VOCABULARY} at place 0"), ([[]], "empty prompt"), ([[5] * 64], "64 ids"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            pair.generate(given, TEN)
    assert tokens(pair.generate([[5]], TEN)) == tokens(alone.generate([[5]], TEN))


def test_no_rank_is_too_few(folder: Path) -> None:
    with pytest.raises(ValueError, match="tp 0: expected at least 1"):
        LLM(folder, tp=0)


def test_an_opener_that_fails_in_a_rank_says_so(tmp_path: Path) -> None:
    with pytest.raises(RankFailed, match="FileNotFoundError") as raised:
        LLM(partial(opened_at, tmp_path / "nowhere", 2), tp=2)
    assert raised.value.kind == "FileNotFoundError"


def processes() -> set[int]:
    return {process.pid for process in multiprocessing.active_children() if process.pid is not None}


def test_a_rank_that_is_killed_ends_the_call_and_all_ranks(folder: Path) -> None:
    before = processes()
    llm = LLM(folder, tp=2, settings=SETTINGS)
    ranks = sorted(processes() - before)
    killed = 0.0

    def kill(_: object) -> None:
        nonlocal killed
        if not killed:
            killed = time.monotonic()
            os.kill(ranks[1], signal.SIGKILL)

    assert len(ranks) == 2
    with pytest.raises(RankFailed, match="rank 1: killed by signal 9"):
        llm.generate(prompts(), Sampling(max_tokens=38, ignore_eos=True), kill)
    assert time.monotonic() - killed < 10
    with pytest.raises(RankFailed):
        llm.generate([[5]])
    llm.close()
    assert processes() == before
    for rank in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(rank, 0)


class Enough(Exception):
    """Whoever listened has heard enough."""


def enough(_: object) -> None:
    raise Enough


def test_who_stops_listening_hears_no_old_tokens_and_waits_for_none(alone: LLM, folder: Path) -> None:
    before = processes()
    with LLM(folder, tp=2, settings=SETTINGS) as llm:
        with pytest.raises(Enough):
            llm.generate(prompts(), DRAWN, enough)
        assert tokens(llm.generate([[5]], TEN)) == tokens(alone.generate([[5]], TEN))
        with pytest.raises(Enough):
            llm.generate(prompts() * 2000, Sampling(max_tokens=38, ignore_eos=True), enough)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 8
    assert processes() == before


# --- its end ---


@pytest.mark.parametrize("tp", [1, 2])
def test_who_closed_it_is_told_so_and_may_close_it_again(folder: Path, tp: int) -> None:
    with LLM(folder, tp, SETTINGS) as llm:
        llm.generate([[5]], TEN)
    with pytest.raises(ValueError, match=r"^this LLM is closed$"):
        llm.generate([[5]], TEN)
    llm.close()


UNCLOSED = """
import atexit, multiprocessing, sys
from engine import LLM, Sampling, Settings

if __name__ == "__main__":
    atexit.register(lambda: print("left for multiprocessing to end:", multiprocessing.active_children()))
    llm = LLM(sys.argv[1], tp=2, settings=Settings(block_size=4, cache_bytes=1 << 20))
    for completion in llm.generate([[5, 6]], Sampling(max_tokens=4, ignore_eos=True)):
        print(completion.token_ids)
"""


def test_a_script_that_never_closes_it_ends_without_a_word(alone: LLM, folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNCLOSED)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], env=os.environ | {"PYTHONPATH": root}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    expected = alone.generate([[5, 6]], Sampling(max_tokens=4, ignore_eos=True))[0].token_ids
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(expected), "left for multiprocessing to end: []"]
