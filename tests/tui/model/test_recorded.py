"""A trace that was saved: as the page of the same run has it, and never called well beyond what was looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import small_checkpoint
from tests.tui.model.material import subject
from tests.tui.model.pages import prose, text
from tracer.report.html import summary
from tracer.session import Request, run
from tracer.verified import UNSEEN
from tui.model.findings.chips import chips
from tui.model.findings.page import findings
from tui.model.line import plain

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
