"""Findings before repetition is folded: one a parameter or tensor, alike but for the positions in the name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mappings.findings import Finding
from mappings.names import Indices, blank, fold


@dataclass(frozen=True)
class Draft:
    """What was found about one subject. `text` has `{}` where the subject's name goes."""

    code: str
    subject: str
    text: str
    rank: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)


def settle(drafts: Sequence[Draft]) -> list[Finding]:
    """One finding for all subjects that say the same of the same template."""
    groups: dict[tuple[str, int | None, str, str], list[tuple[Indices, Draft]]] = {}
    for draft in drafts:
        template, indices = blank(draft.subject)
        groups.setdefault((draft.code, draft.rank, template, draft.text), []).append((indices, draft))
    return [_settled(template, same) for (_, _, template, _), same in groups.items()]


def _settled(template: str, same: list[tuple[Indices, Draft]]) -> Finding:
    subject = fold(template, [indices for indices, _ in same])
    first = same[0][1]
    where = "" if first.rank is None else f"rank {first.rank}: "
    evidence = first.evidence | ({"instances": len(same)} if len(same) > 1 else {})
    return Finding(
        first.code, "error", subject, where + first.text.replace("{}", subject), evidence, rank=first.rank
    )  # fmt: skip
