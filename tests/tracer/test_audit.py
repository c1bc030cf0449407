"""The command `audit`: a saved trace once more, a changed one, a plan, and what is no trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import small_qwen2
from tests.tracer.printed import run
from tracer.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_qwen2.write(tmp_path_factory.mktemp("qwen2"))


@pytest.mark.parametrize("form", ["--save", "--json"])
def test_a_saved_trace_is_audited_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    run(capsys, folder, "--tp", "2", "--load-format", "dummy", form, tmp_path / "t")
    assert main(["audit", str(tmp_path / "t")]) == 0
    assert "observed moves equal the plan" in capsys.readouterr().out


def test_an_audit_finds_what_was_changed_in_a_trace(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "t.jsonl"
    run(capsys, folder, "--tp", "2", "--load-format", "dummy", "--json", trace)
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    dropped = next(k for k, r in enumerate(lines) if r["kind"] == "move" and r["shard"] == "v")
    trace.write_text("\n".join(json.dumps(r) for k, r in enumerate(lines) if k != dropped))
    assert main(["audit", str(trace)]) == 1
    out = capsys.readouterr().out
    assert "audit.unwritten" in out
    assert lines[dropped]["param"] in out


def test_a_plan_is_not_audited_as_if_it_had_happened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, folder, "--plan", "--json", tmp_path / "t")
    assert main(["audit", str(tmp_path / "t")]) == 0
    out = capsys.readouterr().out
    assert "not checked (the trace is a plan" in out
    assert "ok" not in out


@pytest.mark.parametrize(("content", "said"), [
    (b"", "expected"), (b"nonsense\n", "line 1"), (b'{"kind": "tensor"}\n', "line 1"), (b"\xff\xfe\n", "JSON Lines"),
    (b"SQLite format 3\0 and no more", "trace store"),
])  # fmt: skip
def test_what_is_no_trace_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    (tmp_path / "t").write_bytes(content)
    assert main(["audit", str(tmp_path / "t")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
