"""The findings of a page, so many of one code as help anybody."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from mappings.findings import Finding
from mappings.names import HOLE, blank
from tracer.report import markdown
from tracer.report.findings import MOST_OF_A_CODE
from tracer.report.html.view import Found, More

_FOLDED = re.compile(r"\{[^}]*\}")


def shown(
    findings: Iterable[Finding], templates: Collection[str], first: int = 1
) -> tuple[list[Found], list[More]]:  # fmt: skip
    """Those on the page, numbered from `first`, and how many of each code are not; `templates` are those of the names
    that the path table can be searched for.
    """  # fmt: skip
    seen: Counter[str] = Counter()
    found: list[Found] = []
    for finding in findings:
        seen[finding.code] += 1
        if seen[finding.code] <= MOST_OF_A_CODE:
            found.append(_found(finding, first + len(found), _template(finding.subject) in templates))
    return found, [More(code, n - MOST_OF_A_CODE) for code, n in seen.items() if n > MOST_OF_A_CODE]


def _template(subject: str) -> str:
    """Of a single name, or of a folded one."""
    return blank(_FOLDED.sub(HOLE, subject))[0]


def _found(finding: Finding, number: int, leads: bool) -> Found:
    return Found(
        number, finding.severity, finding.code, finding.subject, finding.rank, finding.message, finding.fix,
        list(markdown.evidence(finding.evidence)), markdown.of_finding(finding), leads,
    )  # fmt: skip
