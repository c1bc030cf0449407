"""How much a finding is about, so that causes can be measured by what they remove."""

from __future__ import annotations

from mappings.findings import Finding
from mappings.names import is_index

_HOLE = "{}"
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


def key_of(finding: Finding) -> tuple[str, str]:
    """What a finding is of, whichever layers and experts: of fewer of them it is still there."""
    segments = (_HOLE if segment.startswith("{") or is_index(segment) else segment for segment in _split(finding))
    return finding.code, ".".join(segments)


def _split(finding: Finding) -> list[str]:
    """The subject in segments; ranges within braces have dots of their own."""
    if finding.code == "layers.missing":
        return []
    found, depth, begin = [], 0, 0
    for at, letter in enumerate(finding.subject):
        depth += (letter == "{") - (letter == "}")
        if letter == "." and not depth:
            found.append(finding.subject[begin:at])
            begin = at + 1
    return [*found, finding.subject[begin:]]


def statement(finding: Finding) -> tuple[str, str]:
    """What a finding says, however worded; there may be one for each of a hundred thousand tensors."""
    return finding.code, finding.subject


def same(one: Finding, other: Finding) -> bool:
    """Whether two findings are one statement."""
    return statement(one) == statement(other)
