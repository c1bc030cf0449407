"""How much a finding is about, so that causes can be measured by what they remove."""

from __future__ import annotations

from mappings.findings import Finding

_COUNTS = ("missing", "tensors", "layers", "experts", "count")
"""Fields of a finding's evidence that say of how much it speaks, the most exact first."""


def weight_of(finding: Finding) -> int:
    """Tensors or parameters that a finding speaks of; 1 where it does not say."""
    for key in _COUNTS:
        value = finding.evidence.get(key)
        if isinstance(value, bool):
            continue
        if isinstance(value, int) and value > 0:
            return value
        if isinstance(value, list | tuple | set | dict) and value:
            return len(value)
    return 1


def same(one: Finding, other: Finding) -> bool:
    """Whether two findings are one statement, however worded."""
    return (one.code, one.subject) == (other.code, other.subject)
