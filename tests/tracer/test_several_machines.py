"""Several machines: torchrun does the same job as the own launcher, and no rank outlives another's death."""

from __future__ import annotations

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

from tests import placements, several
from tests.several import FAULTY, PLAIN, Ended, as_ranks, finish, torchrun, wait_for
from tracer.cli import main
from tracer.errors import UsageError
from tracer.session import Request, run
from tracer.store import Store
from tracer.torchrun import World, world

WITHIN = 10.0
"""Seconds from a rank's death to the end of the command."""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128, "torch_dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama")
    (path / "config.json").write_text(json.dumps(CONFIG))
    planned = run(Request(str(path), plan_only=True))
    shapes = {t.name: t.shape for t in planned.store.tensors()}
    return placements.write_checkpoint(path, CONFIG, placements.number(shapes))


def records(path: Path) -> list[dict[str, Any]]:
    """A trace, without what differs between two runs of one job."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in ("seconds", "peak_rss_bytes")} for record in found]


@pytest.fixture(scope="module")
def own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trace of the command's own launcher."""
    path = tmp_path_factory.mktemp("own") / "t.jsonl"
    ended = finish(several.start([*PLAIN, "load", folder, "--tp", "2", "--json", path, "--device", "cpu"]))
    assert ended.status == 0, ended.err
    return records(path)


@pytest.mark.parametrize(("nodes", "ranks"), [(2, 1), (1, 2)])
def test_torchrun_gives_the_trace_of_the_own_launcher(
    folder: Path, own: list[dict[str, Any]], tmp_path: Path, nodes: int, ranks: int
) -> None:
    outputs: list[str | Path] = ["--json", tmp_path / "t.jsonl", "--save", tmp_path / "t.db"]
    command: list[str | Path] = [*PLAIN, "load", folder, "--tp", "2", "--device", "cpu", *outputs]
    ended = [finish(process) for process in torchrun(command, nodes, ranks)]
    assert [e.status for e in ended] == [0] * nodes, ended
    assert records(tmp_path / "t.jsonl") == own
    assert "".join(e.out for e in ended).count("audit ok") == 1
    assert "ran on 2 processes (gloo, cpu)" in ended[0].out
    assert all(e.out == "" for e in ended[1:])
    assert main(["audit", str(tmp_path / "t.db"), "--quiet"]) == 0


@pytest.mark.parametrize(("argv", "said"), [
    (["--tp", "4"], "--tp 4: torchrun started 2 processes (WORLD_SIZE), expected as many"),
    (["--tp", "2", "--rank", "1"], "--rank 1: under torchrun every process traces its own rank"),
    (["--tp", "two"], "invalid int value"),
])  # fmt: skip
def test_options_that_torchrun_contradicts_are_one_line_of_rank_0(folder: Path, argv: list[str], said: str) -> None:
    first, second = map(finish, as_ranks([*PLAIN, "load", folder, *argv], 2))
    assert (first.status, first.out, first.err.count("\n")) == (2, "", 1)
    assert said in first.err
    assert second == Ended(2, "", "")


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


Start = Callable[..., "list[subprocess.Popen[str]]"]


@pytest.mark.parametrize("began", [as_ranks, lambda command, size, given: torchrun(command, 1, size, given)],
                         ids=["nobody watches", "torchrun watches"])  # fmt: skip
def test_a_process_that_is_killed_is_missed_and_what_it_sent_is_kept(
    folder: Path, tmp_path: Path, began: Start
) -> None:
    """The process that torchrun started, not the one that loads for it: it can say nothing any more."""
    saved, half_way = tmp_path / "t.db", tmp_path / "half-way"
    command: list[str | Path] = [*FAULTY, "load", folder, "--tp", "2", "--device", "cpu", "--quiet", "--save", saved]
    processes = began(command, 2, {"FAULT": "Waits", "HALF_WAY": str(half_way)})
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
