"""What a list of checks came to: a verdict, the findings with their fixes, then each check on a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.checks import Check, findings
from tracer.report import verdict
from tracer.report.words import plural

_MOST_REASONS = 4
"""Of one check that did not run; --json has all."""


def lines(checks: Sequence[Check]) -> Iterator[str]:
    """The verdict line, findings, the checks that were ok, what else was looked at, what was not with its reasons."""
    yield summary(checks)
    yield from verdict.findings(findings(checks))
    for check in checks:
        if check.state == "ok":
            yield f"ok  {check.name}  {check.told}".rstrip()
    for check in checks:
        if check.told and check.state != "ok" and not _failed(check):
            yield f"looked at: {check.name}  {check.told}"
    for check in checks:
        if check.unchecked:
            yield f"not checked: {check.name} ({_reasons(check.unchecked)})"


def _failed(check: Check) -> bool:
    """What was looked at says nothing beside what was found wrong with it."""
    return any(finding.severity == "error" for finding in check.findings)


def _reasons(told: str) -> str:
    reasons = told.split("; ")
    more = len(reasons) - _MOST_REASONS
    return told if more <= 0 else f"{'; '.join(reasons[:_MOST_REASONS])}; and {more} more"


def summary(checks: Sequence[Check]) -> str:
    """`2 errors, 1 warning; 9 checks ok, 2 not checked`."""
    found = findings(checks)
    counts = {each: sum(finding.severity == each for finding in found) for each in ("error", "warning", "info")}
    ok = sum(check.state == "ok" for check in checks)
    undone = sum(bool(check.unchecked) for check in checks)
    told = [plural(counts[each], each) for each in ("error", "warning") if counts[each]] or [_nothing(checks)]
    told += [plural(counts["info"], "remark")] if counts["info"] else []
    rest = [f"{plural(ok, 'check')} ok"] + ([f"{undone} not checked"] if undone else [])
    absent = "" if counts["error"] else next((f"{check.absent}; " for check in checks if check.absent), "")
    return f"{absent}{', '.join(told)}; {', '.join(rest)}"


def _nothing(checks: Sequence[Check]) -> str:
    """What was not looked at cannot be wrong, and whoever reads one line should know."""
    limits = list(dict.fromkeys(check.limit for check in checks if check.limit))
    if not limits:
        return "nothing wrong found"
    return f"nothing wrong found in what could be checked ({'; '.join(limits)})"
