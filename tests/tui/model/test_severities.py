"""Severities: the same one is the worst, with the same sign and word, wherever findings are shown."""

from __future__ import annotations

from itertools import permutations

import pytest

from mappings.findings import SEVERITIES, Finding, Severity, in_order
from tests.tui.model.pages import examined, text
from tracer.diagnose.cause import Cause
from tracer.report.html import render
from tracer.report.html.findings import shown
from tracer.report.html.view import Page
from tracer.report.markdown import of_finding
from tui.model.findings.chips import chips
from tui.model.findings.page import findings, marks
from tui.model.line import Target, plain
from tui.model.path import path
from tui.model.tree import tree_of

NAMES = ("model.a.weight", "model.b.weight")


def finding(severity: Severity, name: str = NAMES[0]) -> Finding:
    return Finding("shape.mismatch", severity, name, "something is wrong")


@pytest.mark.parametrize(("one", "other"), list(permutations(SEVERITIES, 2)))
def test_of_two_findings_the_list_the_marks_and_the_tree_have_the_same_as_the_worse(
    one: Severity, other: Severity
) -> None:  # fmt: skip
    (worst, _) = (found.severity for found in in_order([finding(one), finding(other)]))
    both = examined([Cause(finding(one)), Cause(finding(other))], names=NAMES)
    assert marks(both) == {NAMES[0]: worst}
    assert tree_of(both.tensors, {NAMES[0]: one, NAMES[1]: other}).root.severity == worst


@pytest.mark.parametrize(
    ("severity", "sign", "word"), [("error", "✗", "error"), ("warning", "!", "warning"), ("info", "i", "remark")]
)
def test_a_severity_has_one_sign_and_one_word(severity: Severity, sign: str, word: str) -> None:
    found = finding(severity)
    subject = examined([Cause(found)], names=NAMES)
    assert f"{sign} {word} " in text(findings(subject))
    assert text(path(subject, None, Target("finding", "0"), 0)).startswith(f"{sign} {word}  shape.mismatch")
    assert plain(chips(subject)) == f"{sign} 1 {word}"
    page = render.rendered(Page("", (), found=shown([found], ())[0]))
    assert f'aria-hidden="true">{sign}</span> {word}</span>' in page
    assert of_finding(found).startswith(f"**{word}**")


def test_what_only_follows_from_others_is_counted_and_not_called_none() -> None:
    follow = [finding("warning", name) for name in NAMES]
    one, both = (examined([Cause(finding("error"), explains=tuple(own))]) for own in (follow[:1], follow))
    assert plain(chips(one)) == "✗ 1 error  ! 1 warning that follows from others"
    assert plain(chips(both)) == "✗ 1 error  ! 2 warnings that follow from others"
    mixed = examined([Cause(finding("error"), explains=tuple(follow)), Cause(finding("warning"))])
    assert plain(chips(mixed)) == "✗ 1 error  ! 1 warning (2 more follow)"
