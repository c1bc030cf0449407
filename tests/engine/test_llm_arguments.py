"""What `LLM` is given of the wrong kind: one line that names it, of a class that `engine` documents."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine import LLM, CannotOpen, Completion, RankFailed, Refused, Sampling, Settings, Unguarded
from engine.sampling.params import WrongSampling
from tests.engine.worded import bare, folder
from tests.threads import one_thread

__all__ = ["bare", "folder", "one_thread"]
TWO = Sampling(max_tokens=2, ignore_eos=True)
SETTINGS = Settings(cache_bytes=1 << 20)
ALONE = "prompts: expected a list of prompts, each a text or a list of ids; found a prompt alone"


@pytest.fixture(scope="module")
def llm(folder: Path) -> LLM:
    return LLM(folder, settings=SETTINGS)


def refusal(call: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as raised:
        call()
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- prompts ---


@pytest.mark.parametrize(("prompts", "kind", "says"), [
    (5, TypeError, "prompts: expected a list of prompts, each a text or a list of ids, found int 5"),
    (None, TypeError, "prompts: expected a list of prompts, each a text or a list of ids, found None"),
    (b"w5", TypeError, "prompts: expected a list of prompts, each a text or a list of ids, found bytes b'w5'"),
    ({"a": 1}, TypeError, "prompts: expected a list of prompts, each a text or a list of ids, found dict {'a': 1}"),
    ({"w5"}, TypeError, "prompts: expected a list of prompts, each a text or a list of ids, found set {'w5'}"),
    ("w5", ValueError, ALONE),
    ([5, 6], ValueError, ALONE),
    (np.array([5, 6]), ValueError, ALONE),
    (torch.tensor([5, 6]), ValueError, ALONE),
    (["w5", 6], TypeError, "prompt 1: expected a text or a list of ids, found int 6"),
    (["w5", [6, "w7"]], TypeError, "prompt 1: place 1 of the prompt: expected an id, a whole number, found str 'w7'"),
    ([[5.0]], TypeError, "place 0 of the prompt: expected an id, a whole number, found float 5.0"),
    ([[True]], TypeError, "place 0 of the prompt: expected an id, a whole number, found bool True"),
    ([torch.tensor([5.5])], TypeError, "place 0 of the prompt: expected an id, a whole number, found float 5.5"),
    ([{"prompt": "w5"}], TypeError, "expected a text or a list of ids, found dict {'prompt': 'w5'}"),
])  # fmt: skip
def test_what_is_no_list_of_prompts_is_one_line(llm: LLM, prompts: Any, kind: type[Exception], says: str) -> None:
    assert refusal(lambda: llm.generate(prompts, TWO), kind) == says


def test_ids_may_be_of_numpy_and_torch_and_come_beside_text(llm: LLM) -> None:
    given: Any
    for given in (
        ["w5 w6", [7]], ("w5 w6", (7,)), (prompt for prompt in ["w5 w6", [7]]), [np.array([5, 6]), torch.tensor([7])],
        [list(torch.tensor([5, 6])), np.array([7], dtype=np.uint8)], np.array(["w5 w6", "w7"]),
    ):  # fmt: skip
        found = llm.generate(given, TWO)
        assert [completion.prompt_ids for completion in found] == [[5, 6], [7]]
        assert {type(token) for completion in found for token in completion.prompt_ids} == {int}
    square: Any
    for square in (np.array([[5, 6], [7, 8]]), torch.tensor([[5, 6], [7, 8]])):
        assert [completion.prompt_ids for completion in llm.generate(square, TWO)] == [[5, 6], [7, 8]]


def test_a_refused_prompt_says_which_it_is_and_why_also_from_ranks_of_their_own(folder: Path, llm: LLM) -> None:
    with LLM(folder, tp=2, settings=SETTINGS) as pair:
        for model in (llm, pair):
            with pytest.raises(Refused, match=r"^prompt 1: empty prompt") as raised:
                model.generate(["w5", []], TWO)
            assert (raised.value.place, raised.value.reason) == (1, "empty prompt: expected at least one id")


# --- sampling ---


@pytest.mark.parametrize(("sampling", "kind", "says"), [
    ({}, TypeError, "sampling: expected a Sampling, or a list of as many as there are prompts, found dict {}"),
    ({"top_k": 1}, TypeError, "sampling: expected a Sampling, or a list of as many as there are prompts, found dict"
                              " {'top_k': 1}"),
    (0, TypeError, "sampling: expected a Sampling, or a list of as many as there are prompts, found int 0"),
    ([{}], TypeError, "sampling: place 0: expected a Sampling, found dict {}"),
    ([], ValueError, "0 samplings for 1 prompts: expected one for all, or one each"),
    (Sampling(top_p=1.5), Refused, "sampling: top_p: expected a number above 0 and at most 1, found 1.5"),
    (Sampling(stop=("",)), Refused, "sampling: stop: expected a tuple of texts, none of them empty, found ('',)"),
    (Sampling(max_tokens=0), Refused, "sampling: max_tokens: expected a whole number from 1 on, found 0"),
])  # fmt: skip
def test_what_is_no_sampling_is_one_line(llm: LLM, sampling: Any, kind: type[Exception], says: str) -> None:
    assert refusal(lambda: llm.generate(["w5"], sampling), kind) == says


def test_a_wrong_field_of_a_sampling_travels_between_processes() -> None:
    with pytest.raises(WrongSampling) as raised:
        Sampling(top_p=1.5).check()
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.field, error.found, str(error)) == ("top_p", 1.5, str(raised.value))


@pytest.mark.parametrize("name", ["told", "finished"])
def test_who_is_to_hear_must_be_a_function(llm: LLM, name: str) -> None:
    given: Any = {name: 5}
    assert refusal(lambda: llm.generate(["w5"], **given), TypeError) == f"{name}: expected a function, found int 5"


def test_finished_hears_of_each_completion_once_and_whole(llm: LLM) -> None:
    """In the order in which they end, after the tokens that end them."""
    heard: list[Completion] = []
    ends: list[int] = []
    found = llm.generate(
        [[5], [5] * 62, [7]], Sampling(max_tokens=4, ignore_eos=True),
        lambda tokens: ends.extend(token.number for token in tokens if token.finish), heard.append,
    )  # fmt: skip
    assert [completion.index for completion in heard] == ends
    assert ends[0] == 1
    assert sorted(heard, key=lambda completion: completion.index) == found


# --- what is made ---


@pytest.mark.parametrize(("arguments", "kind", "says"), [
    ((5,), TypeError, "model: expected a name, a Path or a function that opens a checkpoint, found int 5"),
    (("",), ValueError, "model: expected a name, found an empty one"),
    (("x", "2"), TypeError, "tp: expected a whole number, found str '2'"),
    (("x", 2.0), TypeError, "tp: expected a whole number, found float 2.0"),
    (("x", True), TypeError, "tp: expected a whole number, found bool True"),
    (("x", 0), ValueError, "tp 0: expected at least 1"),
    (("x", 1, {}), TypeError, "settings: expected Settings(...), found dict {}"),
    (("x", 1, Settings(device="gpu")), ValueError, "settings: device: expected cpu, cuda or cuda:N, found 'gpu'"),
    (("x", 1, Settings(sequences=0)), ValueError, "settings: sequences: expected a whole number from 1 on, found 0"),
    (("x", 1, None, 5), TypeError, "watch: expected a function, found int 5"),
])  # fmt: skip
def test_what_no_model_can_be_made_of_is_one_line(arguments: Any, kind: type[Exception], says: str) -> None:
    """Before a model is looked for: there is none called x."""
    assert refusal(lambda: LLM(*arguments), kind) == says


@pytest.mark.parametrize("field", Settings._fields)
def test_every_field_of_the_settings_is_examined(field: str) -> None:
    """No field takes a list."""
    wrong: dict[str, Any] = {field: []}
    settings = Settings()._replace(**wrong)
    assert refusal(lambda: LLM("x", settings=settings), TypeError).startswith(f"settings: {field}: expected ")


def test_a_model_that_cannot_be_opened_says_which_and_why(folder: Path, tmp_path: Path) -> None:
    assert refusal(lambda: LLM(tmp_path / "x"), CannotOpen) == f"{tmp_path / 'x'}: no such file or folder"
    assert issubclass(CannotOpen, ValueError)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert refusal(lambda: LLM(tmp_path / "cut"), CannotOpen).startswith(f"{tmp_path / 'cut'}: no file of weights")
    with pytest.raises(RankFailed, match="no such file or folder") as raised:
        LLM(tmp_path / "x", tp=2)
    assert raised.value.kind == "CannotOpen"


def test_a_damaged_tokenizer_is_none_and_says_so_where_text_needs_it(folder: Path, tmp_path: Path, llm: LLM) -> None:
    damaged = shutil.copytree(folder, tmp_path / "model")
    (damaged / "tokenizer.json").write_text('{"version"')
    ids = LLM(damaged, settings=SETTINGS)
    (found,), (expected,) = ids.generate([[5, 6]], TWO), llm.generate([[5, 6]], TWO)
    assert (found.token_ids, found.text) == (expected.token_ids, None)
    reason = refusal(lambda: ids.generate(["w5"], TWO), Refused)
    assert reason.startswith(f"a prompt of text needs a tokenizer, give ids instead: {damaged}/tokenizer.json is damag")


def test_what_can_be_caught_is_exported_and_documented() -> None:
    for name in engine.__all__:
        exported = getattr(engine, name)
        assert exported.__name__ == name
        if issubclass(exported, Exception):
            assert name in (LLM.__doc__ or ""), name
    assert {"CannotOpen", "RankFailed", "Refused", "Unguarded"} <= set(engine.__all__)


# --- a script without its guard ---


def test_a_missing_guard_is_one_line_with_the_name_of_the_script(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"from engine import LLM\nllm = LLM({str(folder)!r}, tp=2)\nprint('made')\n")
    done = subprocess.run(
        [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    said = 'ranks are processes that import this file: what starts them must stand below `if __name__ == "__main__":`'
    *trace, last = done.stderr.splitlines()
    assert last == f"{Unguarded.__module__}.Unguarded: {script}: {said}"
    assert (done.stderr.count("Traceback"), len(trace) < 12) == (1, True), done.stderr
