"""`tracer generate` where something is wrong: with a prompt, with the numbers of the model, with what is here."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine import LLM, Sampling, Settings
from engine.loading.loader import Loader
from tests.engine.checkpoints import VOCABULARY, build
from tests.engine.test_not_finite import ALL, BAD, sound, spoiled
from tests.threads import one_thread
from tests.tracer.checkpoint.gguf.test_trace import write
from tracer.cli import main
from tracer.commands import load
from tracer.errors import UsageError
from tracer.execute.device import pick_device

__all__ = ["one_thread", "sound"]
GREEDY = Sampling(max_tokens=10, ignore_eos=True)
TEN = ("--max-tokens", "10", "--ignore-eos", "--cache-gib", "0.001", "--device", "cpu")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """`tracer generate` in this process: status, stdout, stderr."""

    def run(*argv: str | Path) -> tuple[int, str, str]:
        status = main(["generate", *map(str, argv)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def broken(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoiled(sound, tmp_path_factory.mktemp("broken") / "model", "model.embed_tokens.weight", BAD)


# --- logits that are not finite ---


@pytest.mark.parametrize("tp", ["1", "2"])
def test_a_prompt_that_ends_so_is_told_by_number_position_and_count(
    tp: str, sound: Path, broken: Path, command: Command
) -> None:
    expected = LLM(sound, settings=Settings(cache_bytes=1 << 20)).generate(["w5 w6", "w7"], GREEDY)
    asked = (broken, "w5 w6", f"w6 w{BAD}", "w7", *TEN, "--tp", tp)
    status, out, err = command(*asked)
    assert status == 1
    assert out == f"[0] {expected[0].text}\n[1] \n[2] {expected[1].text}\n"
    progress, *told = err.splitlines()
    assert re.fullmatch(r"tracer: 20 tokens(, [\d.]+ tokens/s)?", progress), "what did not come is not counted"
    own = f"{' --tp 2' if tp == '2' else ''} --device cpu --verify"
    assert told == [
        f"tracer: prompt 1: position 1: {ALL}",
        f"tracer: trace-load {broken}{own} may show where it begins; it computes with ids of its own",
    ]


def test_the_command_that_may_show_it_loads_the_same_in_the_same_way(
    broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is what `trace-load` takes, and asks for what was asked for here, whatever that has of spaces and quotes."""
    folder = tmp_path / "it's here"
    shutil.copytree(broken, folder)
    shutil.copytree(folder, tmp_path / "config", ignore=shutil.ignore_patterns("*.safetensors"))
    same = ["--load-format", "safetensors", "--dtype", "float32", "--device", "cpu", "--hf-overrides",
            '{"rope_theta": 1e4}', "--hf-config-path", str(tmp_path / "config")]  # fmt: skip
    assert main(["generate", str(folder), f"w{BAD}", *TEN, *same]) == 1
    told = capsys.readouterr().err.splitlines()[-1].removeprefix("tracer: ").partition(" may show")[0]
    name, *argv = shlex.split(told)
    parser = argparse.ArgumentParser()
    load.options(parser)
    asked, plain = parser.parse_args(argv), parser.parse_args([str(folder), *same, "--verify"])
    assert (name, asked) == ("trace-load", plain)


def test_the_record_says_what_is_wrong_and_others_have_no_such_key(broken: Path, command: Command) -> None:
    status, out, err = command(broken, "w5 w6", f"w{BAD}", *TEN, "--logprobs", "1", "--json", "-", "--quiet")
    assert status == 1
    assert f"tracer: prompt 1: position 0: {ALL}\n" in err, "however quiet"
    bad, good = map(json.loads, out.splitlines())  # in the order in which they ended
    assert "error" not in good
    assert (len(good["token_ids"]), good["finish_reason"]) == (10, "length")
    assert bad == {
        "kind": "completion", "index": 1, "prompt_ids": [BAD], "token_ids": [], "text": None, "logprobs": [],
        "top_logprobs": [], "finish_reason": "error", "error": f"position 0: {ALL}",
    } | {"text": ""}  # fmt: skip


def test_a_lone_prompt_without_a_tokenizer_ends_its_line(broken: Path, tmp_path: Path, command: Command) -> None:
    folder = tmp_path / "model"
    shutil.copytree(broken, folder)
    (folder / "tokenizer.json").unlink()
    status, out, err = command(folder, "--prompt-ids", f"5,{BAD}", *TEN)
    assert (status, out) == (1, "\n")
    assert f"tracer: prompt 0: position 1: {ALL}\n" in err


# --- prompts that cannot be served ---


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        (["w5", ""], "prompt 1: empty prompt: expected at least one id"),
        (["w5", "--prompt-ids", f"5,{VOCABULARY}"], f"prompt 1: id {VOCABULARY} at place 1 of the prompt"),
        (["--prompt-ids", "-1", "w5"], "prompt 1: id -1 at place 0 of the prompt"),
        (["w5", "w6", "--prompt-ids", ",".join(["5"] * 64)], "prompt 2: prompt of 64 ids: the longest sequence has 64"),
        (["w5", " ".join(["w5"] * 70)], "prompt 1: prompt of 70 ids: the longest sequence has 64"),
        (["w5", "w6 \udcff"], "prompt 1: "),
        (["w5", "--max-tokens", "0"], "--max-tokens 0: expected a whole number from 1 on"),
    ],
)
def test_one_bad_prompt_is_told_by_its_number_before_anything_is_loaded(
    prompts: list[str], says: str, sound: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "load", pytest.fail)
    status, out, err = command(sound, *prompts, "--device", "cpu")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"tracer: {says}")


def test_text_and_stop_strings_without_a_tokenizer_are_told_before_as_well(
    sound: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loader, "load", pytest.fail)
    folder = tmp_path / "model"
    shutil.copytree(sound, folder)
    (folder / "tokenizer.json").unlink()
    file = _file(tmp_path, '"text"\n')
    _, _, err = command(folder, "--prompt-ids", "5", "--prompts", file, "--device", "cpu")
    place = f"prompt 1 ({file}: line 1)"
    assert err.startswith(f"tracer: {place}: a prompt of text needs a tokenizer, give ids instead: ")
    _, _, err = command(folder, "--prompt-ids", "5", "--stop", "x", "--device", "cpu")
    assert err == "tracer: stop strings need a tokenizer, and there is none (stop_ids, from Python, need none)\n"


def _file(folder: Path, text: str) -> Path:
    (folder / "prompts").write_text(text)
    return folder / "prompts"


def test_dynamic_rotary_embeddings_take_the_length_that_they_are_stretched_to(tmp_path: Path, command: Command) -> None:
    """`factor` times `max_position_embeddings`, 32, and no more."""
    build("llama-dynamic", tmp_path)
    status, out, err = command(tmp_path, "--prompt-ids", ",".join(["5"] * 31), *TEN, "--json", "-", "--quiet")
    assert status == 0, err
    assert (len(json.loads(out)["token_ids"]), json.loads(out)["finish_reason"]) == (1, "length")
    _, _, err = command(tmp_path, "--prompt-ids", ",".join(["5"] * 32), *TEN)
    assert err == "tracer: prompt of 32 ids: the longest sequence has 32, generated ones included\n"


# --- what is not here ---


def test_a_clone_without_weights_is_given_no_advice_that_this_command_does_not_take(
    sound: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "config.json").write_bytes((sound / "config.json").read_bytes())
    assert command(tmp_path, "--prompt-ids", "5") == (
        2, "", f"tracer: {tmp_path}: no file of weights is here; nothing can be generated without them\n",
    )  # fmt: skip
    assert main(["load", str(tmp_path)]) == 2


def test_nor_are_blocks_that_cannot_be_computed_with(tmp_path: Path, command: Command) -> None:
    status, _, err = command(write(tmp_path, "Q8_0"), "--prompt-ids", "5", "--device", "cpu")
    assert (status, err.count("\n")) == (2, 1)
    assert "which torch cannot hold" in err
    assert "--plan" not in err and "dummy" not in err


# --- GPUs ---


class Gpus:
    """A machine with so many."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "tp", "says"),
    [(0, 1, "--device cuda: it needs a GPU, found 0"), (0, 2, "--device cuda: 2 ranks need 2 GPUs, found 0"),
     (1, 2, "--device cuda: 2 ranks need 2 GPUs, found 1")],
)  # fmt: skip
def test_more_ranks_than_gpus_are_refused_before_anything_is_loaded(
    count: int, tp: int, says: str, sound: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpus(count, monkeypatch)
    asked = (sound, "w5", "--device", "cuda", "--tp", str(tp))
    assert command(*asked) == (2, "", f"tracer: {says}\n")
    number = f"expected {tp} GPU{'s' * (tp > 1)}, found {count}"
    with pytest.raises(ValueError, match=f"^device cuda, tp {tp}: {number}$"):
        LLM(sound, tp, Settings("cuda"))


def test_a_gpu_that_is_not_there_is_told_by_its_number(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(2, monkeypatch)
    with pytest.raises(ValueError, match=r"^device cuda:4, tp 1: expected 5 GPUs, found 2$"):
        LLM(sound, settings=Settings("cuda:4"))


def test_without_a_wish_ranks_are_where_they_all_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(2, monkeypatch)
    assert [pick_device(None, processes) for processes in (1, 2, 3)] == ["cuda", "cuda", "cpu"]
    assert pick_device("cpu", 2) == "cpu"
    with pytest.raises(UsageError):
        pick_device("cuda", 3)
