"""A rank dies: the load ends at once, says why, and its trace stays readable."""

from __future__ import annotations

import re
import time
from contextlib import closing
from math import prod
from pathlib import Path

import pytest

from tests import faulty_ranks
from tests.tracer.half_way import WITHIN, folder, layers, original
from tracer.cli import main
from tracer.execute import processes, rank
from tracer.prepare import prepare
from tracer.report import jsonl
from tracer.session import Request, run
from tracer.store import Store

__all__ = ["folder", "original"]


def half_way_at(tmp_path: Path) -> float:
    return float((tmp_path / "half-way").read_text().split()[2])


@pytest.mark.parametrize(("loader", "said"), [
    (faulty_ranks.KillsItself, "rank 1: killed by signal 9 (SIGKILL: by hand, or by the system for want of memory)"),
    (faulty_ranks.RunsOutOfMemory, "memory"),
])  # fmt: skip
def test_a_rank_that_dies_ends_the_load_and_its_trace_stays_readable(
    folder: Path, tmp_path: Path, loader: type, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "t.db"
    result = run(Request(str(folder), 2, device="cpu"), saved, loader=loader)
    assert time.time() - half_way_at(tmp_path) < WITHIN
    assert result.failure is not None
    assert said in result.failure
    assert result.failure.startswith("rank 1: ")
    assert "\n" not in result.failure
    assert result.failed
    assert layers(saved, 1) == {"0"}
    store = Store.open(saved)
    assert store.end is None
    assert [(c.state, c.reason) for c in store.checks() if c.name == "load"] == [("failed", result.failure)]
    assert main(["audit", str(saved)]) == 1
    told = capsys.readouterr().out
    assert "audit.unwritten" in told
    assert f"\ncut short: {result.failure}\n" in told


def test_that_a_load_failed_is_an_error_though_all_was_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, lines = tmp_path / "t.db", tmp_path / "t.jsonl"
    with closing(run(Request(str(folder), 2, device="cpu"), saved, loader=faulty_ranks.DiesWhenDone).store) as store:
        (finding,) = store.findings()
        jsonl.write(jsonl.records(store), str(lines))
    assert (finding.code, finding.severity, finding.subject, finding.rank) == ("load.failed", "error", "rank 1", 1)
    assert finding.message.startswith("the load did not come to its end: rank 1: killed by signal 9")
    for trace in (saved, lines):
        assert main(["audit", str(trace)]) == 1
        assert f"ERROR  load.failed  {finding.message}\n" in capsys.readouterr().out


def test_a_page_that_cannot_be_read_though_no_file_changed_is_told_as_what_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a disk fails: the process is ended by the system, and nothing of the file says why."""
    monkeypatch.setattr(processes, "changed", lambda before: None)
    result = run(Request(str(folder), 1, device="cpu"), loader=faulty_ranks.ReadsWhatWasCut)
    assert result.damage is None
    assert (result.failure or "").startswith("rank 0: killed by signal 7 (SIGBUS: a page of a mapped file could not")


@pytest.mark.parametrize("tp", [1, 2])
def test_parameters_without_memory_are_one_line_with_their_bytes(
    tp: int, original: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as a rank of this tp has."""
    prepared = prepare(Request(str(original), tp))
    size = sum(4 * prod(leaf.form(0).shape) for _, leaf in prepared.plan.params())
    monkeypatch.setattr(rank, "rank_process", faulty_ranks.without_memory)
    assert main(["load", str(original), "--tp", str(tp), "--device", "cpu", "--dtype", "float32"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(
        rf"tracer: rank [01]: no memory for its parameters: {size:,} bytes, [\d,]+ are free on cpu;"
        r" a larger --tp or a narrower --dtype takes less on each rank\n",
        captured.err,
    ), captured.err


def test_an_exception_of_a_rank_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "RaisesOnRankZero")
    monkeypatch.setattr(rank, "rank_process", faulty_ranks.rank_process)
    assert main(["load", str(folder), "--device", "cpu", "--quiet"]) == 1
    assert capsys.readouterr().err == "trace-load: rank 0: RuntimeError: planted failure\n"
