"""Severities: the same one is the worst, with the same sign and word, wherever findings are shown."""

from __future__ import annotations

from itertools import permutations

import pytest

from mappings.findings import SEVERITIES, Finding, Severity, in_order
from tests.tui.model.pages import examined
from tracer.diagnose.cause import Cause
from tui.model.findings.page import marks
from tui.model.tree import tree_of

NAMES = ("model.a.weight", "model.b.weight")


def finding(severity: Severity, name: str = NAMES[0]) -> Finding:
    return Finding("shape.mismatch", severity, name, "something is wrong")


@pytest.mark.parametrize(("one", "other"), permutations(SEVERITIES, 2))
def test_of_two_findings_the_list_the_marks_and_the_tree_have_the_same_as_the_worse(
    one: Severity, other: Severity
) -> None:  # fmt: skip
    (worst, _) = (found.severity for found in in_order([finding(one), finding(other)]))
    both = examined([Cause(finding(one)), Cause(finding(other))], names=NAMES)
    assert marks(both) == {NAMES[0]: worst}
    assert tree_of(both.tensors, {NAMES[0]: one, NAMES[1]: other}).root.severity == worst
