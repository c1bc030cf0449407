"""What the values of one tensor show by themselves: no number, or nothing but one number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.findings import Finding
from tracer.diagnose.cause import Cause
from tracer.values.blank import constants, zeros
from tracer.values.nonfinite import nonfinite
from tracer.values.statistics import Statistics
from tui.model.subject import Subject


def judged(subject: Subject, seen: Statistics) -> Subject:
    """The subject with what was found in a tensor that was read; itself where that is nothing new."""
    return with_findings(subject, list(_found(seen)))


def with_findings(subject: Subject, found: Sequence[Finding]) -> Subject:
    """The subject with these; itself where none of them is new."""
    known = {(told.finding.code, told.finding.subject) for told in subject.findings}
    new = [finding for finding in found if (finding.code, finding.subject) not in known]
    causes = [Cause(finding) for finding in new if finding.severity != "info"]
    remarks = [finding for finding in new if finding.severity == "info"]
    if not new:
        return subject
    graver = sorted([*subject.causes, *causes], key=lambda cause: cause.finding.severity != "error")
    return subject.further(causes=graver, remarks=[*subject.remarks, *remarks])


def _found(seen: Statistics) -> Iterator[Finding]:
    yield from nonfinite([seen])
    yield from zeros([seen], set())
    yield from constants([seen])
