"""`tracer generate` as a user runs it: what is printed, where, what --json holds, and the exit status."""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers

from engine import LLM, Sampling, Settings
from tests.engine.checkpoints import VOCABULARY
from tests.engine.worded import bare, folder
from tests.threads import one_thread
from tracer.cli import main
from tracer.commands import generate

__all__ = ["bare", "folder", "one_thread"]
KEYS = ["kind", "index", "prompt_ids", "token_ids", "text", "logprobs", "top_logprobs", "finish_reason"]


class Ran(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """`tracer generate` in this process."""

    def run(*argv: str | Path) -> Ran:
        try:
            status = main(["generate", *map(str, argv)])
        except SystemExit as error:
            status = int(str(error.code))
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def llm(folder: Path) -> LLM:
    """The other way to the same completions."""
    return LLM(folder, settings=Settings(cache_bytes=1 << 20))


def records(ran: Ran) -> list[dict[str, Any]]:
    assert ran.status == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


TEN = ("--max-tokens", "10", "--ignore-eos", "--cache-gib", "0.001")
GREEDY = Sampling(max_tokens=10, ignore_eos=True)


# --- what is printed ---


def test_text_is_printed_and_how_fast_it_came(folder: Path, llm: LLM, command: Command) -> None:
    expected = llm.generate(["w5 w6"], GREEDY)[0].text
    ran = command(folder, "w5 w6", *TEN)
    assert (ran.status, ran.out) == (0, f"{expected}\n")
    assert re.fullmatch(r"tracer: 10 tokens(, [\d.]+ tokens/s)?\n", ran.err)
    assert command(folder, "w5 w6", *TEN, "--quiet") == (0, f"{expected}\n", "")


def test_text_is_printed_as_it_comes(folder: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    printed: list[str] = []
    monkeypatch.setattr("builtins.print", lambda *a, end="\n", file=None, **_: printed.append(f"{a[0]}{end}"))
    command(folder, "w5 w6", *TEN, "--quiet")
    assert len(printed) >= 10
    assert all(len(piece.split()) <= 1 for piece in printed)


def test_several_prompts_are_printed_in_their_order(folder: Path, llm: LLM, command: Command, tmp_path: Path) -> None:
    """Arguments, then --prompt-ids, then the lines of --prompts."""
    file = tmp_path / "prompts.txt"
    text = "w9 \u2028 w10\f w11"
    file.write_text(f'\ufeff[12, 13]\n\n{text}\r\n"w14\\nw15"\n  [w5\n', encoding="utf-8")
    given: list[str | list[int]] = ["w5 w6", "w7", [8, 9], [10], [12, 13], text, "w14\nw15", "  [w5"]
    expected = llm.generate(given, GREEDY)
    ran = command(folder, "w5 w6", "w7", "--prompt-ids", "8, 9", "--prompt-ids", "10", "--prompts", file, *TEN)
    assert ran.out.splitlines() == [f"[{found.index}] {found.text}" for found in expected]
    asked = records(command(folder, *TEN, "w5 w6", "w7", "--prompt-ids", "8,9", "--prompt-ids", "10",
                            "--prompts", file, "--json", "-"))  # fmt: skip
    assert [record["prompt_ids"] for record in asked] == [found.prompt_ids for found in expected]


def test_prompts_may_stand_among_the_options(folder: Path, command: Command) -> None:
    for argv in (
        [*TEN, "w5", "w6", "w7"], ["w5", *TEN, "w6", "w7"], ["w5", "w6", *TEN, "w7"], [*TEN, "w5", "--", "w6", "w7"],
        [*TEN, "--", "w5", "w6", "w7"], ["w5", "--quiet", "w6", *TEN, "--", "w7"],
    ):  # fmt: skip
        asked = records(command(folder, *argv, "--json", "-") if "--" not in argv else
                        command(folder, "--json", "-", *argv))  # fmt: skip
        assert [record["prompt_ids"] for record in asked] == [[5], [6], [7]], argv
    (record,) = records(command(folder, "--json", "-", *TEN, "--stop", "a", "--", "--seed"))
    assert record["prompt_ids"] == [0], "a word that looks like an option, and that the tokenizer does not know"


def test_without_a_tokenizer_ids_are_printed(bare: Path, llm: LLM, command: Command) -> None:
    (expected,) = llm.generate([[5, 6]], GREEDY)
    ran = command(bare, "--prompt-ids", "5,6", *TEN)
    assert ran.out.split() == [str(token) for token in expected.token_ids]
    (record,) = records(command(bare, "--prompt-ids", "5,6", *TEN, "--json", "-"))
    assert (record["text"], record["token_ids"]) == (None, expected.token_ids)


def test_what_a_model_writes_cannot_steer_the_terminal(bare: Path, llm: LLM, command: Command, tmp_path: Path) -> None:
    """Its words are escape sequences, bells and marks that turn the line around."""
    evil = ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\r", "\x00", "\x7f"]
    (expected,) = llm.generate([[5, 6]], GREEDY)
    model = tmp_path / "model"
    shutil.copytree(bare, model)
    words = [f"w{number}" for number in range(VOCABULARY)]
    for place, token in enumerate(dict.fromkeys(expected.token_ids)):
        words[token] = evil[place % len(evil)] + "\t" * (place // len(evil))
    library = Library(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="w0"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    library.save(str(model / "tokenizer.json"))
    for prompts in (["w5 w6"], ["w5 w6", "w5 w6"]):
        ran = command(model, *prompts, *TEN)
        assert all(letter.isprintable() or letter in "\n\t" for letter in ran.out + ran.err)
        assert r"\x1b[2J" in ran.out
    (record,) = records(command(model, "--prompt-ids", "5,6", *TEN, "--json", "-"))
    assert "\x1b[2J" in record["text"]


def test_two_ranks_print_what_one_does(folder: Path, llm: LLM, command: Command) -> None:
    expected = llm.generate(["w5 w6", "w7"], GREEDY)
    ran = command(folder, "--tp", "2", "--device", "cpu", "w5 w6", "w7", *TEN)
    assert (ran.status, ran.out) == (0, "".join(f"[{found.index}] {found.text}\n" for found in expected))


# --- records ---


def test_json_has_all_that_is_known_of_each_prompt(folder: Path, llm: LLM, command: Command, tmp_path: Path) -> None:
    asked = Sampling(max_tokens=10, ignore_eos=True, logprobs=2)
    options = (folder, "w5 w6", "--prompt-ids", "7", *TEN, "--logprobs", "2")
    ran = command(*options, "--json", "-")
    found = records(ran)
    assert [list(record) for record in found] == [KEYS, KEYS]
    for record, expected in zip(found, llm.generate(["w5 w6", [7]], asked), strict=True):
        assert expected.top_logprobs is not None
        assert record == {
            "kind": "completion", "index": expected.index, "prompt_ids": expected.prompt_ids,
            "token_ids": expected.token_ids, "text": expected.text, "finish_reason": "length",
            "logprobs": pytest.approx(expected.logprobs, abs=1e-5),
            "top_logprobs": [
                [[token, pytest.approx(value, abs=1e-5)] for token, value in top] for top in expected.top_logprobs
            ],
        }  # fmt: skip
    file = tmp_path / "out.jsonl"
    shown = command(*options, "--json", file)
    assert file.read_text() == ran.out
    assert shown.out.startswith("[0] ")


def test_logprobs_are_null_unless_asked_for(folder: Path, command: Command) -> None:
    (record,) = records(command(folder, "w5", *TEN, "--json", "-"))
    assert (record["logprobs"], record["top_logprobs"]) == (None, None)
    (record,) = records(command(folder, "w5", *TEN, "--logprobs", "0", "--json", "-"))
    assert (len(record["logprobs"]), record["top_logprobs"]) == (10, [[]] * 10)


def test_every_option_of_sampling_reaches_the_sampler(folder: Path, llm: LLM, command: Command) -> None:
    sampling = Sampling(0.9, 40, 0.9, 0.01, 7, ("never",), (), 12, True)
    (expected,) = llm.generate(["w5 w6"], sampling)
    asked = (
        folder, "w5 w6", "--temperature", "0.9", "--top-k", "40", "--top-p", "0.9", "--min-p", "0.01", "--seed", "7",
        "--stop", "never", "--max-tokens", "12", "--ignore-eos", "--json", "-", "--cache-gib", "0.001",
    )  # fmt: skip
    assert records(command(*asked))[0]["token_ids"] == expected.token_ids
    again = records(command(*asked, "--pass-tokens", "1", "--max-sequences", "1"))
    assert again[0]["token_ids"] == expected.token_ids
    (other,) = records(command(*asked, "--seed", "8"))
    assert other["token_ids"] != expected.token_ids


def test_a_stop_string_ends_before_it(folder: Path, llm: LLM, command: Command) -> None:
    (whole,) = llm.generate(["w5 w6"], GREEDY)
    assert whole.text is not None
    word = f"w{whole.token_ids[3]}"
    (record,) = records(command(folder, "w5 w6", *TEN, "--stop", "never", "--stop", word, "--json", "-"))
    assert record["text"] == whole.text[: whole.text.index(word)]
    assert record["finish_reason"] == "stop"


# --- bad input ---


@pytest.mark.parametrize("tp", [1, 2])
def test_a_typed_end_of_text_outdoes_the_generation_config(
    folder: Path, llm: LLM, command: Command, tmp_path: Path, tp: int
) -> None:
    """What config.json says itself does not."""
    (whole,) = llm.generate([[7, 8]], GREEDY)
    end = whole.token_ids[4]
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"eos_token_id": end}))
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": 199}))
    asked = ("--prompt-ids", "7,8", "--max-tokens", "10", "--cache-gib", "0.001", "--tp", str(tp), "--json", "-")
    (unmoved,) = records(command(model, *asked))
    assert unmoved["token_ids"] == whole.token_ids
    (ended,) = records(command(model, *asked, "--hf-overrides", json.dumps({"eos_token_id": end})))
    assert ended["token_ids"] == whole.token_ids[: whole.token_ids.index(end) + 1]
    assert ended["finish_reason"] == "stop"


def refused(ran: Ran, says: str) -> None:
    """One line on stderr, nothing on stdout, exit status 2."""
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("tracer") and ran.err.count("\n") == 1, ran.err
    assert says in ran.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], 'no prompt: expected "text", --prompt-ids 1,2,3 or --prompts FILE'),
        (["--prompt-ids", "1,x"], "--prompt-ids 1,x: expected whole numbers with commas between them"),
        (["--prompt-ids", "5,200"], "id 200 at place 1 of the prompt: expected 0 to 199"),
        (["--prompt-ids=-1"], "id -1 at place 0 of the prompt: expected 0 to 199"),
        (["--prompt-ids", ",".join(["5"] * 64)], "prompt of 64 ids: the longest sequence has 64, generated ones"),
        (["w5", "--prompt-ids", ",".join(["5"] * 64)], "prompt 1: prompt of 64 ids"),
        ([""], "empty prompt: expected at least one id"),
        (["w5 \udcff"], "found half of a surrogate pair"),
        (["--prompts", "no-such-file"], "No such file or directory: no-such-file"),
        (["w5", "--cache-gib", "0"], "--cache-gib 0: expected more than 0"),
        (["w5", "--cache-gib", "nan"], "--cache-gib nan: expected more than 0"),
        (["w5", "--cache-gib", "1e-7"], "no memory for the cache: a block of 16 tokens takes 6144 bytes, 107 are"),
        (["w5", "--pass-tokens", "0"], "--pass-tokens 0: expected at least 1"),
        (["w5", "--max-sequences", "0"], "--max-sequences 0: expected at least 1"),
        (["w5", "--max-tokens", "0"], "tracer: --max-tokens 0: expected a whole number from 1 on\n"),
        (["w5", "--temperature", "-1"], "tracer: --temperature -1: expected a finite number from 0 on\n"),
        (["w5", "--temperature", "inf"], "tracer: --temperature inf: expected a finite number from 0 on\n"),
        (["w5", "--top-p", "0"], "tracer: --top-p 0: expected a number above 0 and at most 1\n"),
        (["w5", "--top-p", "1.5"], "tracer: --top-p 1.5: expected a number above 0 and at most 1\n"),
        (["w5", "--min-p", "-0.25"], "tracer: --min-p -0.25: expected a number from 0 to 1\n"),
        (["w5", "--top-k", "-4"], "tracer: --top-k -4: expected a whole number from 0 on\n"),
        (["w5", "--logprobs", "-1"], "tracer: --logprobs -1: expected a whole number from 0 on\n"),
        (["w5", "--seed", "-1"], "tracer: --seed -1: expected a whole number from 0 to 18446744073709551615\n"),
        (["w5", "--stop", ""], "tracer: --stop is empty, expected a text\n"),
        (["w5", "--tp", "0"], "--tp 0: expected at least 1 and at most"),
        (["w5", "--sed", "3"], "unrecognized arguments: --sed 3"),
        (["--tp", "1", "w5", "--sed", "3"], "unrecognized arguments: w5 --sed 3"),
        (["w5", "--seed", "x"], "argument --seed: expected a whole number, found 'x'"),
        (["w5", "--top-p", "a lot"], "argument --top-p: expected a number, found 'a lot'"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_one_line(
    options: list[str], says: str, folder: Path, command: Command
) -> None:
    refused(command(folder, *options), says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"w5\na\xff", "prompts: line 2: byte 4: expected UTF-8, found 0xff"),
        (b"w5\n[5, 6", "line 2: begins like JSON and is none: "),
        (b"[citation needed] w5", "column 2 (char 1); text that begins so stands as a JSON string"),
        (b'w5\n\n["5"]', "line 3: expected a list of whole numbers"),
        (b"[true]", "line 1: expected a list of whole numbers"),
        (b"[" * 100_000, "line 1: begins like JSON and is none: "),
        (b"\n \n", "no prompt: expected"),
    ],
)
def test_a_file_of_prompts_that_is_none_is_one_line(
    content: bytes, says: str, folder: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "prompts"
    file.write_bytes(content)
    refused(command(folder, "--prompts", file), says)


def test_prompts_come_from_stdin_too(
    folder: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"\xef\xbb\xbfw5 w6\r\n[7, 8]\n"
    (tmp_path / "prompts").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = command(folder, "--prompts", "-", "--json", "-")
    assert found.out == command(folder, "--prompts", tmp_path / "prompts", "--json", "-").out
    assert '"prompt_ids": [7, 8]' in found.out


def test_text_without_a_tokenizer_is_one_line(bare: Path, command: Command) -> None:
    refused(command(bare, "hello"), f"give ids instead: {bare} has no tokenizer.json")
    refused(command(bare, "--prompt-ids", "5", "--stop", "a"), "stop strings need a tokenizer, and there is none")


def test_weights_that_are_not_here_or_not_whole_are_one_line(bare: Path, tmp_path: Path, command: Command) -> None:
    model = tmp_path / "model"
    shutil.copytree(bare, model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:9000])
    refused(command(model, "--prompt-ids", "5"), "model.safetensors: the header describes 144256 bytes of data")
    weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 148000\n")
    refused(command(model, "--prompt-ids", "5"), "Git-LFS pointers (model.safetensors); run git lfs pull")
    weights.unlink()
    refused(command(model, "--prompt-ids", "5"), "no file of weights is here")
    refused(command(tmp_path / "nowhere", "--prompt-ids", "5"), "no such file or folder")


def test_more_ranks_than_can_be_cut_are_findings(folder: Path, command: Command, tmp_path: Path) -> None:
    ran = command(folder, "w5", "--tp", "3")
    assert (ran.status, ran.err) == (1, "")
    wrong = [line.split("cannot cut ")[1].split(" ")[0] for line in ran.out.splitlines() if line.startswith("ERROR")]
    assert wrong == ["vocab", "head", "kv"]
    file = tmp_path / "findings.jsonl"
    assert command(folder, "w5", "--tp", "3", "--json", file).status == 1
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(record["kind"], record["code"]) for record in found] == [("finding", "tp.indivisible")] * 3


def test_an_output_that_would_overwrite_the_input_is_refused(folder: Path, command: Command) -> None:
    before = (folder / "model.safetensors").read_bytes()
    refused(command(folder, "w5", "--json", folder / "model.safetensors"), "--json")
    assert (folder / "model.safetensors").read_bytes() == before


# --- help ---


def test_the_help_states_the_defaults_that_hold() -> None:
    """Of the parser, and of the engine behind it."""
    parser = argparse.ArgumentParser()
    generate.options(parser)
    own = {action.dest: action for action in parser._actions}
    stated = {
        name: float(found[1])
        for name, action in own.items()
        if (found := re.search(r"\(default ([\d.]+)", action.help or ""))
    }
    assert stated == {name: own[name].default for name in stated}
    assert {"tp", "max_tokens", "top_k", "top_p", "min_p", "pass_tokens", "max_sequences"} <= set(stated)
    wishes = generate._wishes(parser.parse_args(["model", "w5"]))
    assert Sampling(**wishes.sampling) == Sampling()
    assert Settings(**wishes.settings) == Settings()


def test_help_names_every_option_and_exit_status(command: Command) -> None:
    ran = command("--help")
    assert ran.status == 0
    for word in ("--prompt-ids", "--prompts", "--temperature", "--stop", "--logprobs", "--cache-gib", "--json"):
        assert word in ran.out
    assert "0 done, 1 the checkpoint or a rank has an error, 2 bad usage or input" in " ".join(ran.out.split())
