"""`tracer generate` under torchrun: what the own launcher says, said once, and no rank outlives another's death."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests import several
from tests.engine.worded import bare, folder
from tests.several import PLAIN, Ended, as_ranks, finish, torchrun, wait_for
from tracer.cli import main
from tracer.commands import generate
from tracer.commands.prompts import prompts_of
from tracer.errors import InputError
from tracer.execute import Asked

__all__ = ["bare", "folder"]
WITHIN = 10.0
"""Seconds from a rank's death to the end of the command."""
FAULTY = ("-m", "tests.faulty_generation")
OPTIONS = ("--device", "cpu", "--cache-gib", "0.001", "--ignore-eos", "--max-tokens", "10")


def records(path: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """Completions; beside them log-probabilities, whose last places depend on how many threads a rank has."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return found, [value for record in found for value in record.pop("logprobs")]


def test_torchrun_says_what_the_own_launcher_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two machines with two ranks each."""
    asked = ["generate", str(folder), "--tp", "4", "w5 w6", "w190", "--temperature", "0.7", "--seed", "3", *OPTIONS]
    asked += ["--logprobs", "0"]
    started = torchrun([*PLAIN, *asked, "--json", tmp_path / "theirs"], 2, 2)
    status, own = main([*asked, "--json", str(tmp_path / "own")]), capsys.readouterr()
    ended = [finish(process) for process in started]
    assert status == 0
    assert [e.status for e in ended] == [0, 0], "\n".join(e.out + e.err for e in ended)
    assert [e.out for e in ended] == [own.out, ""]
    assert "".join(e.err for e in ended).count("tracer: 20 tokens") == 1
    (theirs, logprobs), (ours, expected) = records(tmp_path / "theirs"), records(tmp_path / "own")
    assert theirs == ours
    assert logprobs == pytest.approx(expected, abs=1e-4)
    assert len(logprobs) == 20


# --- one rank fails ---


def faulty(folder: Path, tmp_path: Path, fault: str) -> list[subprocess.Popen[str]]:
    """Two processes, of whose ranks the second comes to grief while both generate."""
    given = {"FAULT": fault, "FAULTY_RANK": "1", "HALF_WAY": str(tmp_path / "half-way")}
    return as_ranks([*FAULTY, "generate", folder, "--tp", "2", "--prompt-ids", "5,6", *OPTIONS], 2, given)


def test_an_exception_of_a_rank_ends_all_and_is_what_rank_0_says(folder: Path, tmp_path: Path) -> None:
    """Its own connection breaks first, of which it knows at once, and which it does not take for the cause."""
    first, second = map(finish, faulty(folder, tmp_path, "RAISES"))
    assert time.time() - float((tmp_path / "half-way").read_text().split()[2]) < WITHIN
    assert (first.status, first.err) == (1, "tracer: rank 1: RuntimeError: planted failure\n")
    assert len(first.out.split()) == 3, "what was generated until then"
    assert second == Ended(1, "", "")


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_all(folder: Path, tmp_path: Path, killed: int) -> None:
    """The process that torchrun started, not the one that computes for it."""
    processes = faulty(folder, tmp_path, "WAITS")
    rank, _ = wait_for(tmp_path / "half-way")
    started = time.monotonic()
    processes[killed].kill()
    first, second = map(finish, processes)
    assert time.monotonic() - started < WITHIN
    assert not several.alive(rank)
    if killed:
        said = "rank 1: gone without a word: it was killed, or its machine is gone"
        assert (first.status, first.err) == (1, f"tracer: {said}\n")
    else:
        assert second == Ended(1, "", "")


# --- bad input ---


@pytest.mark.parametrize(("options", "said"), [
    (["--tp", "2", "--prompt-ids", "5,200"], "id 200 at place 1 of the prompt: expected 0 to 199"),
    (["--tp", "4", "w5"], "--tp 4: torchrun started 2 processes (WORLD_SIZE), expected as many"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_one_line_of_rank_0(folder: Path, options: list[str], said: str) -> None:
    first, second = map(finish, as_ranks([*PLAIN, "generate", folder, *options, *OPTIONS], 2))
    assert first == Ended(2, "", f"tracer: {said}\n")
    assert second == Ended(2, "", "")


def test_another_option_on_another_machine_is_told_with_both_values(folder: Path) -> None:
    common = [*PLAIN, "generate", str(folder), "--tp", "2", "w5", *OPTIONS, "--temperature"]
    first, second = map(finish, several.each([[*common, "0.7"], [*common, "0.9"]]))
    said = "--temperature: expected 0.7, as rank 0 was given, found 0.9"
    assert first == Ended(2, "", f"tracer: rank 1: {said}\n")
    assert second == Ended(2, "", "")


@pytest.mark.parametrize(("own", "others", "said"), [
    (["w5", "--seed", "3"], ["w5"], "--seed: expected 3, {}, found nothing"),
    (["w5"], ["w5", "--stop", "a", "--stop", "b"], '--stop: expected nothing, {}, found ["a", "b"]'),
    (["w5"], ["w5", "--top-p", "0.95"], "--top-p: expected 1, {}, found 0.95"),
    (["w5", "--ignore-eos"], ["w5"], "--ignore-eos: expected given, {}, found nothing"),
    (["w5", "--pass-tokens", "8"], ["w5"], "--pass-tokens: expected 8, {}, found 2048"),
    (["w5"], ["w5", "--cache-gib", "0.5"], "--cache-gib: expected nothing, {}, found 0.5"),
    (["w5", "w6"], ["w5", "w7"], 'prompt 1: expected "w6", {}, found "w7"'),
    (["w5"], ["--prompt-ids", "5,6"], 'prompt 0: expected "w5", {}, found [5, 6]'),
    (["--prompt-ids", "5,6"], ["w7", "--prompt-ids", "5,6"], "the number of prompts: expected 1, {}, found 2"),
])  # fmt: skip
def test_whatever_was_asked_otherwise_is_named(own: list[str], others: list[str], said: str) -> None:
    first, second = asked(*own), asked(*others)
    with pytest.raises(InputError) as raised:
        second.check(json.loads(json.dumps(first.terms())))
    assert str(raised.value) == said.format("as rank 0 was given")
    first.check(asked(*own).terms())


def test_of_very_many_prompts_it_is_told_that_they_differ(tmp_path: Path) -> None:
    """What is compared travels in one message."""
    (tmp_path / "own").write_text("w5\n" * 100_000)
    (tmp_path / "others").write_text("w5\n" * 99_999 + "w6\n")
    first, second = (asked("--prompts", str(tmp_path / name)) for name in ("own", "others"))
    assert len(json.dumps(first.terms())) < 10_000
    with pytest.raises(InputError, match=r"^the prompts: expected \d+ characters \w+, as rank 0 was given, found"):
        second.check(first.terms())


def asked(*argv: str) -> Asked:
    """What a command line asks for."""
    parser = argparse.ArgumentParser()
    generate.options(parser)
    found = parser.parse_args(["model", *argv])
    return Asked(generate._request(found), prompts_of(found), generate._wishes(found))


def test_an_option_that_only_another_machine_has_wrong_is_told_as_its(folder: Path) -> None:
    common = [*PLAIN, "generate", str(folder), "--tp", "2", *OPTIONS, "w5"]
    first, second = map(finish, several.each([common, [*common, "--top-p", "1.5"]]))
    assert first == Ended(2, "", "tracer: rank 1: --top-p 1.5: expected a number above 0 and at most 1\n")
    assert second == Ended(2, "", "")


def test_another_checkpoint_on_another_machine_is_refused_by_all(folder: Path, tmp_path: Path) -> None:
    disks = [tmp_path / "a", tmp_path / "b"]
    for disk in disks:
        shutil.copytree(folder, disk / "model")
    config = disks[1] / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rms_norm_eps": 0.5}))
    command = [*PLAIN, "generate", "model", "--tp", "2", *OPTIONS, "w5"]
    first, second = map(finish, as_ranks(command, 2, folders=disks))
    said = "config.json: rms_norm_eps: expected 1e-06, found 0.5: all ranks must load the same checkpoint"
    assert first == Ended(2, "", f"tracer: rank 1: {said} in the same way\n")
    assert second == Ended(2, "", "")
