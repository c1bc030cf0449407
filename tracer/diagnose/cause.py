"""A cause: what it is, what it explains, what would mend it."""

from __future__ import annotations

from dataclasses import dataclass

from mappings.findings import Finding
from tracer.complaints.complaint import Complaint
from tracer.repair.changes import Change


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding that others follow from."""

    finding: Finding
    explains: tuple[Finding, ...] = ()
    """Findings that are gone once this is mended, tried and not guessed."""
    answers: tuple[Complaint, ...] = ()
    """What was complained of and follows from it."""
    changes: tuple[Change, ...] = ()
    """What mends it, all of them together; empty where no edit of the checkpoint does."""
