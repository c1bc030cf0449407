"""A trace that was saved: as the page of the same run has it, and never called well beyond what was looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures import small_checkpoint
from tests.tui.model.material import subject
from tests.tui.model.pages import prose, text
from tracer.audit import coverage
from tracer.cli import main
from tracer.report.html import summary
from tracer.session import Request, run
from tracer.verified import UNSEEN
from tui.model import recorded
from tui.model.browsing import Browsing
from tui.model.findings.chips import chips
from tui.model.findings.page import findings
from tui.model.line import plain
from tui.model.opening import open_subject
from tui.model.overview.page import overview
from tui.model.recorded import AS_IT_SAYS
from tui.model.subject import Subject
from tui.model.title import title

KINDS = {
    "observed": Request(tp=2, load_format="dummy"), "planned": Request(tp=2, plan_only=True),
    "to be verified": Request(plan_only=True, verify=True),
    "to be compared": Request(plan_only=True, reference="transformers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_has_the_checks_that_the_page_of_its_run_has(kind: str, tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    asked, path = replace(KINDS[kind], model=str(tmp_path)), tmp_path / "t.db"
    result = run(asked, save=path)
    told = {(check.name, check.state) for check in summary.checks(result)}
    result.store.close()
    opened = subject(path)
    assert {(check.name, check.state) for check in opened.checks} == told
    assert any(check.unchecked == UNSEEN for check in opened.checks) == (not asked.verifies)


def test_a_trace_of_no_weights_is_told_as_the_folder_without_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(small_checkpoint.CONFIG))
    run(Request(str(tmp_path), 2, "dummy"), save=tmp_path / "t.db").store.close()
    for opened in (subject(tmp_path), subject(tmp_path / "t.db")):
        assert plain(chips(opened)).startswith("· no weights are here")
        assert prose(findings(opened)).startswith("· no weights are here")


def test_a_trace_whose_numbers_nobody_looked_at_is_not_called_well(tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    run(Request(str(tmp_path), 2, "dummy"), save=tmp_path / "t.db").store.close()
    opened = subject(tmp_path / "t.db")
    assert plain(chips(opened)).startswith("· 1 not checked")
    page = findings(opened)
    assert text(page).startswith("· ") and f"values: {UNSEEN}" in prose(page)


# --- what it says of itself ---

Records = list[dict[str, Any]]


def _claims(folder: Path, path: Path, change: Callable[[Records], Records]) -> Subject:
    """A trace of a load on two ranks that calls all well, with some of its records changed."""
    model = folder / "model"
    model.mkdir()
    small_checkpoint.sound(model)
    main(["load", str(model), "--tp", "2", "--load-format", "dummy", "--json", str(path)])
    records = change([json.loads(line) for line in path.read_text().splitlines()])
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return subject(path)


def _same_rows(records: Records) -> Records:
    """Each rank reads what the first does."""
    own = {each["tensor"]: each["src"] for each in records if each["kind"] == "move" and each["rank"] == 0}
    return [
        each | {"src": own[each["tensor"]]} if each["kind"] == "move" and "q_proj" in each["tensor"] else each
        for each in records
    ]  # fmt: skip


def _without_end(records: Records) -> Records:
    return [each for each in records if each["kind"] != "end"]


def _without_config(records: Records) -> Records:
    return [each | {"config": {}} if each["kind"] == "run" else each for each in records]


def test_a_trace_is_not_believed_but_audited_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = _claims(tmp_path, tmp_path / "t.jsonl", _same_rows)
    capsys.readouterr()
    main(["audit", str(tmp_path / "t.jsonl"), "--json", "-"])
    printed = [json.loads(each) for each in capsys.readouterr().out.splitlines() if each.startswith("{")]
    told = {(each["code"], each["subject"]) for each in printed if each["kind"] == "finding"}
    assert told == {(each.finding.code, each.finding.subject) for each in opened.findings}
    assert "audit.rank-duplicate" in {code for code, _ in told}
    assert "audit" not in {check.name for check in opened.checks}
    assert plain(chips(opened)).startswith("✗ ")


def test_a_trace_that_was_cut_short_calls_nothing_ok(tmp_path: Path) -> None:
    opened = _claims(tmp_path, tmp_path / "t.jsonl", _without_end)
    assert plain(chips(opened)).startswith("✗ cut short") and "ok" not in plain(chips(opened))
    assert opened.checks and all(check.unchecked for check in opened.checks)
    assert f"audit: {AS_IT_SAYS}: the trace was cut short" in prose(findings(opened))
    assert "cut short" in "\n".join(text(overview(opened)).splitlines()[:3])


@pytest.mark.parametrize("why", ["no plan", "too many moves", "too many pieces"])
def test_what_is_not_audited_again_is_said_to_be_as_the_trace_has_it(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "too many moves":
        monkeypatch.setattr(recorded, "MOST_MOVES", 1)
    opened = _claims(tmp_path, tmp_path / "t.jsonl", _without_config if why == "no plan" else list)
    if why == "too many pieces":  # of a load that had been audited
        monkeypatch.setattr(coverage, "_MOST_CELLS", 0)
        opened = subject(tmp_path / "t.jsonl")
    audit = next(check for check in opened.checks if check.name == "audit")
    assert audit.unchecked.startswith(AS_IT_SAYS) and not opened.findings


def test_of_a_long_audit_the_plan_is_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    _claims(tmp_path, path, list)
    monkeypatch.setattr(recorded, "MANY_MOVES", 1)
    seen: list[Subject] = []
    open_subject(str(path), 1, seen.append)
    assert [each.stage for each in seen] == ["headers", "plan", "examined"]
    assert seen[1].prepared is seen[2].prepared is not None


@pytest.mark.parametrize("plan_only", [True, False])
def test_of_a_trace_of_one_rank_the_others_are_said_to_be_planned(plan_only: bool, tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    run(Request(str(tmp_path), 4, "dummy", plan_only=plan_only, rank=1), save=tmp_path / "t.db").store.close()
    state = Browsing(str(tmp_path / "t.db"), 1)
    state.arrived(subject(tmp_path / "t.db"))

    def top() -> str:
        return plain(title(state.where, state.subject, state.tp, state.rank, 80)).strip()

    assert top().endswith(f"  trace of rank 1 only{', planned' if plan_only else ''}  tp 4  rank 1")
    state.next_rank(1)
    assert plan_only == top().endswith("  planned, trace of rank 1 only  tp 4  rank 2")
    assert state.more_ranks(-1) is None and f"  planned  tp 2  rank {state.rank}" in top()


@pytest.mark.parametrize("weights", [True, False])
def test_of_what_is_made_up_no_more_is_denied_than_is(weights: bool, tmp_path: Path) -> None:
    small_checkpoint.sound(tmp_path)
    if not weights:
        for file in tmp_path.glob("*.safetensors"):
            file.unlink()
    run(Request(str(tmp_path), 2, "dummy"), save=tmp_path / "t.db").store.close()
    shown = prose(overview(subject(tmp_path / "t.db")))
    assert ("names, shapes and data types are those of the files" in shown) == weights
    assert ("nothing of this came from a file" in shown) != weights
