"""How a test of meaning ended, and what would mend what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mappings.findings import Finding
from tracer.checks import Check
from tracer.repair.changes import Change


@dataclass(frozen=True, slots=True)
class Meant:
    """A check and the changes that would mend its findings, all of them together; none where no edit does."""

    check: Check
    changes: tuple[Change, ...] = ()


def fine(name: str, told: str, unchecked: str = "", limit: str = "") -> Meant:
    """Nothing found; `unchecked` says what was left out all the same."""
    return Meant(Check(name, told, unchecked=unchecked, limit=limit))


def not_checked(name: str, reason: str, limit: str = "") -> Meant:
    """`limit` is what the verdict says of it, where it must."""
    return Meant(Check(name, unchecked=reason, limit=limit))


def found(name: str, told: str, finding: Finding, *changes: Change, unchecked: str = "") -> Meant:
    return Meant(Check(name, told, (finding,), unchecked), changes)


def measured(statistic: str, value: float, threshold: float, pooled: int, over: str, **more: Any) -> Mapping[str, Any]:
    """The evidence of a statistical finding; `over` says what was pooled."""
    own = {"statistic": statistic, "value": round(float(value), 3), "threshold": threshold}
    return own | {"pooled": pooled, "over": over} | more
