"""What is only odd in a file weighs more once a model is said to talk nonsense: blanks are then the cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mappings.findings import Finding
from tracer.complaints.complaint import Complaint
from tracer.diagnose.cause import Cause

_NONSENSE = ("garbage", "not-finite")
_BLANKS = ("value.all-zero", "file.truncated")
"""Zeros where there should be numbers: by themselves they may be headers without a model, or tensors that are meant."""


def graver(
    causes: Sequence[Cause], remarks: Sequence[Finding], complaints: Sequence[Complaint]
) -> tuple[list[Cause], list[Finding]]:  # fmt: skip
    """Causes with the blanks among them, or among the remarks, as errors that answer what was complained of."""
    said = tuple(each for each in complaints if each.kind in _NONSENSE)
    if not said:
        return list(causes), list(remarks)
    # Zeros that take no room on the disk are headers without a model, whatever is said of it.
    blank = [each for each in remarks if each.code in _BLANKS and not each.evidence.get("holes")]
    raised = [
        replace(cause, finding=replace(cause.finding, severity="error"), answers=cause.answers or said)
        if cause.finding.code in _BLANKS else cause
        for cause in causes
    ]  # fmt: skip
    found = [Cause(replace(each, severity="error"), answers=said) for each in blank]
    return [*raised, *found], [each for each in remarks if each not in blank]
