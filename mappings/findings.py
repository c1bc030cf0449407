"""What a check says when it is not content: one record, with a stable code, evidence and a fix.

A check ends as *ok*, as findings, or as `Unchecked` with its reason; the last is never counted as ok.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about a checkpoint or a load; `code` is stable and listed in the README."""

    code: str
    severity: Severity
    subject: str
    """A tensor, a parameter, or a file: the thing a user can search for."""
    message: str
    """One sentence; the cause first."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    fix: str | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A check that could not run, and why."""

    name: str
    reason: str


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Errors first; among equals as they came, causes before what follows from them."""
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
