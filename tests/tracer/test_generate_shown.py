"""What `tracer generate` shows beside text: ids, log-probabilities, help; and what is left where nobody is to hear."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import LLM, Sampling, Settings
from tests.several import LIMIT, ROOT
from tests.threads import one_thread
from tests.tracer.test_generate_errors import TEN, Command, command, sound
from tests.tracer.test_generate_failing import fails, interrupted
from tracer.cli import main, module_of, trace_load

__all__ = ["command", "one_thread", "sound"]
TOLD = Sampling(max_tokens=10, ignore_eos=True, logprobs=2)


@pytest.fixture(scope="module")
def llm(sound: Path) -> LLM:
    return LLM(sound, settings=Settings(cache_bytes=1 << 20))


@pytest.fixture
def bare(sound: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(sound, tmp_path / "bare")
    (folder / "tokenizer.json").unlink()
    return folder


# --- ids ---


def test_ids_have_a_blank_between_them_and_nowhere_else(bare: Path, llm: LLM, command: Command) -> None:
    expected = [" ".join(map(str, found.token_ids)) for found in llm.generate([[5, 6], [7]], TOLD)]
    assert command(bare, "--prompt-ids", "5,6", *TEN)[1] == f"{expected[0]}\n"
    asked = command(bare, "--prompt-ids", "5,6", "--prompt-ids", "7", *TEN)
    assert asked[1] == f"[0] {expected[0]}\n[1] {expected[1]}\n"


def test_a_damaged_tokenizer_costs_ids_nothing_but_a_warning(bare: Path, llm: LLM, command: Command) -> None:
    (bare / "tokenizer.json").write_text('{"version"')
    (expected,) = llm.generate([[5, 6]], TOLD)
    for tp in ("1", "2"):
        status, out, err = command(bare, "--prompt-ids", "5,6", *TEN, "--tp", tp)
        assert (status, out) == (0, " ".join(map(str, expected.token_ids)) + "\n")
        warning, _ = err.splitlines()
        assert warning.startswith(f"tracer: warning: ids are all that can be printed: {bare}/tokenizer.json is damaged")
    assert command(bare, "--prompt-ids", "5,6", *TEN, "--quiet")[2] == ""
    status, out, err = command(bare, "w5", *TEN)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"give ids instead: {bare}/tokenizer.json is damaged or of an unknown kind" in err


def test_no_tokenizer_at_all_is_no_cause_for_a_warning(bare: Path, command: Command) -> None:
    assert command(bare, "--prompt-ids", "5,6", *TEN)[2].startswith("tracer: 10 tokens")


# --- log-probabilities ---


def test_log_probabilities_are_shown_below_each_text(sound: Path, llm: LLM, command: Command) -> None:
    """A line a token: its own, and those of the two most likely."""
    found = llm.generate(["w5 w6", "w7"], TOLD)
    lines = command(sound, "w5 w6", "w7", *TEN, "--logprobs", "2")[1].splitlines()
    assert len(lines) == 22
    for index, completion in enumerate(found):
        head, *told = lines[11 * index : 11 * index + 11]
        assert head == f"[{index}] {completion.text}"
        assert completion.logprobs is not None and completion.top_logprobs is not None
        for place, line in enumerate(told):
            cells = [(completion.token_ids[place], completion.logprobs[place]), *completion.top_logprobs[place]]
            words = line.split()
            assert [float(word) for word in words[::3]] == [pytest.approx(value, abs=2e-4) for _, value in cells]
            assert words[1::3] == [str(token) for token, _ in cells]
            assert words[2::3] == [f"w{token}" for token, _ in cells]
            assert line == line.rstrip()


def test_those_of_a_lone_prompt_come_when_its_text_is_whole(
    sound: Path, bare: Path, llm: LLM, command: Command
) -> None:
    (found,) = llm.generate(["w5 w6"], TOLD)
    text, *told = command(sound, "w5 w6", *TEN, "--logprobs", "0")[1].splitlines()
    assert text == found.text
    assert [line.split()[1:] for line in told] == [[str(token), f"w{token}"] for token in found.token_ids]
    ids, *told = command(bare, "--prompt-ids", "5,6", *TEN, "--logprobs", "0")[1].splitlines()
    assert [line.split()[1] for line in told] == ids.split(), "and without a tokenizer no spelling"
    assert {len(line.split()) for line in told} == {2}


# --- what had ended when it was stopped ---


def test_what_had_ended_and_waited_for_its_turn_is_shown_when_the_rest_is_stopped(
    sound: Path, tmp_path: Path, llm: LLM, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second prompt is two tokens from the end of the model's length; all end after three passes."""
    near = [5] * 62
    (expected,) = llm.generate([near], TOLD)
    fails(monkeypatch, tmp_path, interrupted)
    status, out, err = command(sound, "--prompt-ids", "5", "--prompt-ids", ",".join(map(str, near)), *TEN, "--quiet")
    assert (status, err) == (130, "tracer: interrupted\n")
    assert out == f"[1] {expected.text}\n"


# --- nobody to hear ---


def without_stderr(*argv: str | Path) -> tuple[int, str]:
    """Exit status and standard output of a command whose stderr is closed."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "tracer", *map(str, argv)], check=False, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, timeout=LIMIT,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_closed_stderr_leaves_stdout_and_exit_status_as_they_are(
    sound: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress and messages are for nobody then, and not for whoever reads the output."""
    assert without_stderr("generate", sound, "w5", "w6", *TEN) == (0, command(sound, "w5", "w6", *TEN)[1])
    assert without_stderr("generate", sound, "w5", "--top-p", "2") == (2, "")
    assert without_stderr("load", sound / "nowhere") == (2, "")
    trace_load([str(sound), "--plan"])
    assert without_stderr("load", sound, "--plan") == (0, capsys.readouterr().out)


# --- help ---


@pytest.mark.parametrize("columns", [72, 80, 132])
@pytest.mark.parametrize("name", ["generate", "load"])
def test_help_is_as_wide_as_the_terminal(
    name: str, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= columns
    for paragraph in [*module_of(name).DESCRIPTION.split("\n\n"), *module_of(name).EPILOG.split("\n\n")]:
        words = " ".join(paragraph.split())
        assert len(words) < columns or max(len(line) for line in _lines_of(printed, words)) > columns - 25


def _lines_of(printed: str, words: str) -> list[str]:
    """The lines in which a paragraph stands, which it fills."""
    lines = printed.split("\n")
    first = next(place for place, line in enumerate(lines) if line and words.startswith(line))
    for last in range(first, len(lines)):
        if " ".join(lines[first : last + 1]) == words:
            return lines[first : last + 1]
    raise AssertionError(f"not as one paragraph: {words}")
