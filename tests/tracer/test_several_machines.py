"""Several machines: torchrun does the same job as the own launcher, and no rank outlives another's death."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import several, small_llama
from tests.several import EARLY, FAULTY, PLAIN, Ended, as_ranks, finish, torchrun, wait_for
from tracer.cli import main, trace_load
from tracer.errors import UsageError
from tracer.store import Store
from tracer.torchrun import World, check, world

WITHIN = 10.0
"""Seconds from a rank's death to the end of the command."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


def records(path: Path) -> list[dict[str, Any]]:
    """A trace, without what differs between two runs of one job."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in ("seconds", "peak_rss_bytes")} for record in found]


@pytest.fixture(scope="module")
def own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trace of the command's own launcher."""
    path = tmp_path_factory.mktemp("own") / "t.jsonl"
    assert trace_load([str(folder), "--tp", "4", "--json", str(path), "--device", "cpu", "--quiet"]) == 0
    return records(path)


def test_torchrun_gives_the_trace_of_the_own_launcher(
    folder: Path, own: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Two machines with two ranks each."""
    outputs: list[str | Path] = ["--json", tmp_path / "t.jsonl", "--save", tmp_path / "t.db"]
    command: list[str | Path] = [*PLAIN, "load", folder, "--tp", "4", "--device", "cpu", *outputs]
    ended = [finish(process) for process in torchrun(command, 2, 2)]
    assert [e.status for e in ended] == [0, 0], "\n".join(e.out + e.err for e in ended)
    assert records(tmp_path / "t.jsonl") == own
    assert "".join(e.out for e in ended).count("audit ok") == 1
    assert "ran on 4 processes (gloo, cpu)" in ended[0].out
    assert all(e.out == "" for e in ended[1:])
    assert main(["audit", str(tmp_path / "t.db"), "--quiet"]) == 0


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "4"], "--tp 4: torchrun started 2 processes (WORLD_SIZE), expected as many"),
    (["--tp", "two"], "invalid int value"),
])  # fmt: skip
def test_options_that_torchrun_contradicts_are_one_line_of_rank_0(folder: Path, argv: list[str], said: str) -> None:
    first, second = map(finish, as_ranks([*PLAIN, "load", folder, *argv], 2))
    assert (first.status, first.out, first.err.count("\n")) == (2, "", 1)
    assert said in first.err
    assert second == Ended(2, "", "")


def test_under_torchrun_nobody_chooses_a_rank() -> None:
    with pytest.raises(UsageError, match="--rank 1: under torchrun every process traces its own rank"):
        check(World(0, 2), argparse.Namespace(rank=1, tp=2))


def test_what_needs_no_processes_is_done_by_rank_0_alone(folder: Path) -> None:
    first, second = map(finish, as_ranks([*PLAIN, "load", folder, "--tp", "2", "--plan"], 2))
    assert (first.status, first.err) == (0, "")
    assert "audit: not run (--plan)" in first.out
    assert second == Ended(0, "", "")


@pytest.mark.parametrize(("given", "found"), [
    ({}, None),
    ({"RANK": "0", "WORLD_SIZE": "8"}, None),
    ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"}, World(1, 2)),
])  # fmt: skip
def test_only_torchruns_whole_environment_means_torchrun(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: World | None
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert world() == found
    if found:
        monkeypatch.setenv("RANK", "2")
        with pytest.raises(UsageError, match="RANK=2 WORLD_SIZE=2"):
            world()


def test_a_checkpoint_that_another_machine_cannot_read_is_bad_input_there(folder: Path, tmp_path: Path) -> None:
    """Each process has a disk of its own, and the second one's download was cut off."""
    disks = [tmp_path / "a", tmp_path / "b"]
    for disk in disks:
        shutil.copytree(folder, disk / "model")
    os.truncate(disks[1] / "model" / "model.safetensors", 4096)
    first, second = map(finish, as_ranks([*PLAIN, "load", "model", "--tp", "2", "--device", "cpu"], 2, folders=disks))
    assert first.status == 2
    assert first.err.startswith("tracer: rank 1: model/model.safetensors: ")
    assert first.err.endswith("[file.truncated]\n")
    assert first.err.count("\n") == 1
    assert second == Ended(2, "", "")


def test_another_checkpoint_on_another_machine_is_refused_by_all(folder: Path, tmp_path: Path) -> None:
    disks = [tmp_path / "a", tmp_path / "b"]
    for disk in disks:
        shutil.copytree(folder, disk / "model")
    config = json.loads((disks[1] / "model" / "config.json").read_text()) | {"rope_theta": 5.0}
    (disks[1] / "model" / "config.json").write_text(json.dumps(config))
    first, second = map(finish, as_ranks([*PLAIN, "load", "model", "--tp", "2", "--device", "cpu"], 2, folders=disks))
    said = "config.json: rope_theta: expected nothing, found 5.0: all ranks must load the same checkpoint"
    assert first == Ended(2, "", f"tracer: rank 1: {said} in the same way\n")
    assert second == Ended(2, "", "")


@pytest.mark.parametrize(("options", "said"), [
    (["--tp", "two"], "rank 1: argument --tp: invalid int value: 'two' (see tracer load --help)"),
    (["--tp", "3"], "rank 1: --tp 3: torchrun started 2 processes (WORLD_SIZE), expected as many"),
])  # fmt: skip
def test_a_slip_on_one_machine_is_told_by_rank_0_at_once(folder: Path, options: list[str], said: str) -> None:
    began = time.monotonic()
    common: list[str | Path] = [*PLAIN, "load", folder, "--device", "cpu"]
    first, second = map(finish, several.each([[*common, "--tp", "2"], [*common, *options]]))
    assert first == Ended(2, "", f"tracer: {said}\n")
    assert second == Ended(2, "", "")
    assert time.monotonic() - began < 2 * WITHIN, "imports included"


def test_a_slip_is_said_by_its_own_rank_where_rank_0_does_without_it(folder: Path) -> None:
    common: list[str | Path] = [*PLAIN, "load", folder, "--plan", "--quiet"]
    first, second = map(finish, several.each([[*common, "--tp", "2"], [*common, "--tp", "3"]]))
    assert first == Ended(0, "", "")
    assert second == Ended(2, "", "tracer: --tp 3: torchrun started 2 processes (WORLD_SIZE), expected as many\n")


def moved(path: Path, rank: int) -> set[str]:
    """The layers from which a rank of a saved trace had moved something."""
    return {move.param.split(".")[2] for move in Store.open(path).moves(rank) if ".layers." in move.param}


def test_a_rank_that_dies_ends_all_and_its_notes_have_arrived(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process that loads for the one that torchrun started, which then tells of it."""
    saved, half_way = tmp_path / "t.db", tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--save", saved]
    first, second = map(finish, as_ranks(command, 2, {"FAULT": "KillsItself", "HALF_WAY": str(half_way)}))
    assert time.time() - float(half_way.read_text().split()[2]) < WITHIN
    said = "rank 1: killed by signal 9 (SIGKILL: by hand, or by the system for want of memory)"
    assert (first.status, first.err) == (1, f"trace-load: {said}\n")
    assert second == Ended(1, "", "")
    assert moved(saved, 1) == {"0"}
    assert {"0", "1"} >= moved(saved, 0) > set()
    assert Store.open(saved).end is None
    assert main(["audit", str(saved)]) == 1
    assert "audit.unwritten  rank 1: " in capsys.readouterr().out


def test_an_exception_on_another_machine_is_told_and_its_notes_have_arrived(folder: Path, tmp_path: Path) -> None:
    saved, half_way = tmp_path / "t.db", tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--save", saved]
    first, second = map(finish, as_ranks(command, 2, {"FAULT": "Raises", "HALF_WAY": str(half_way)}))
    assert time.time() - float(half_way.read_text().split()[2]) < WITHIN
    assert (first.status, first.err) == (1, "trace-load: rank 1: RuntimeError: planted failure\n")
    assert second == Ended(1, "", "")
    assert moved(saved, 1) == {"0"}
    (failed,) = [finding for finding in Store.open(saved).findings() if finding.code == "load.failed"]
    assert (failed.rank, failed.subject) == (1, "rank 1")


def test_a_forward_pass_that_fails_on_another_machine_is_told_as_that_ranks(folder: Path, tmp_path: Path) -> None:
    """Rank 0, which waits for its share of a sum, fails too, but only of that."""
    saved = tmp_path / "t.db"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--verify"]
    first, second = map(finish, as_ranks([*command, "--save", saved], 2, {"FAULT": "LosesAParameter"}))
    assert (first.status, second) == (1, Ended(1, "", ""))
    (failed,) = [finding for finding in Store.open(saved).findings() if finding.code == "verify.failed"]
    assert failed.message.startswith("rank 1: the forward pass failed: RuntimeError: ")
    assert Store.open(saved).end is not None, "the load itself was complete"


Start = Callable[..., "list[subprocess.Popen[str]]"]


@pytest.mark.parametrize("began", [
    lambda command, given: torchrun(command, 1, 2, given), lambda command, given: torchrun(command, 2, 1, given),
], ids=["one machine", "two machines"])  # fmt: skip
def test_a_process_that_is_killed_is_missed_and_what_it_sent_is_kept(
    folder: Path, tmp_path: Path, began: Start
) -> None:
    """The process that torchrun started, not the one that loads for it: it can say nothing any more.

    On its machine torchrun ends all others then; on another machine nobody is told.
    """
    saved, half_way = tmp_path / "t.db", tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--save", saved]
    processes = began(command, {"FAULT": "Waits", "HALF_WAY": str(half_way)})
    rank, parent = wait_for(half_way)
    time.sleep(0.5)
    started = time.monotonic()
    os.kill(parent, signal.SIGKILL)
    ended = [finish(process) for process in processes]
    assert time.monotonic() - started < WITHIN
    assert ended[0].status == 1
    assert len([line for line in ended[0].err.splitlines() if line.startswith("trace-load: rank 1: ")]) == 1
    assert not several.alive(rank)
    assert moved(saved, 1) == {"0"}
    assert Store.open(saved).end is None


@pytest.mark.parametrize("began", [
    lambda command, given: torchrun(command, 1, 2, given), lambda command, given: torchrun(command, 2, 1, given),
], ids=["one machine", "two machines"])  # fmt: skip
def test_a_process_that_is_killed_before_it_said_a_word_is_missed(folder: Path, tmp_path: Path, began: Start) -> None:
    """While it imports torch, which may take a minute from a cold network disk.

    On its own machine torchrun then ends rank 0 too, which says so.
    """
    half_way = tmp_path / "half-way"
    command: list[str | Path] = [*EARLY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet"]
    processes = began(command, {"DIES": "1", "HALF_WAY": str(half_way)})
    wait_for(half_way)
    started = time.monotonic()
    ended = [finish(process) for process in processes]
    assert time.monotonic() - started < WITHIN
    assert all(e.status for e in ended)
    assert "rank 1" in next(line for line in ended[0].err.splitlines() if line.startswith("tracer: "))


def test_without_rank_0_the_others_end_also_before_the_load(folder: Path, tmp_path: Path) -> None:
    half_way = tmp_path / "half-way"
    command: list[str | Path] = [*EARLY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet"]
    agents = torchrun(command, 2, 1, {"DIES": "0", "HALF_WAY": str(half_way)})
    wait_for(half_way)
    started = time.monotonic()
    ended = [finish(agent) for agent in agents]
    assert all(e.status for e in ended)
    assert time.monotonic() - started < WITHIN


def test_without_rank_0_the_others_end(folder: Path, tmp_path: Path) -> None:
    half_way = tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet"]
    first, second = as_ranks(command, 2, {"FAULT": "Waits", "HALF_WAY": str(half_way)})
    rank, _ = wait_for(half_way)
    started = time.monotonic()
    first.kill()
    finish(first)
    assert finish(second) == Ended(1, "", "")
    assert time.monotonic() - started < WITHIN
    assert not several.alive(rank)


def test_ctrl_c_for_torchrun_on_both_machines_leaves_nobody_behind(folder: Path, tmp_path: Path) -> None:
    saved, half_way = tmp_path / "t.db", tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--save", saved]
    agents = torchrun(command, 2, 1, {"FAULT": "Waits", "HALF_WAY": str(half_way)})
    rank, parent = wait_for(half_way)
    time.sleep(0.5)
    started = time.monotonic()
    for agent in agents:
        agent.send_signal(signal.SIGINT)
    ended = [finish(agent) for agent in agents]
    assert time.monotonic() - started < 2 * WITHIN
    assert all(e.status for e in ended)
    assert not several.alive(rank)
    assert not several.alive(parent)
    assert f"tracer: interrupted; what was observed until then is in {saved}\n" in ended[0].err
    assert moved(saved, 1) == {"0"}
