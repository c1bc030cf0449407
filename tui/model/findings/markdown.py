"""Everything that was found as one Markdown, for an issue or a pull request."""

from __future__ import annotations

from tracer.report.markdown import code, fenced, of_finding
from tracer.report.words import plural
from tui.model.subject import Subject, Told


def markdown(told: Told) -> str:
    """One finding."""
    return f"{of_finding(told.finding)}\n"


def all_markdown(subject: Subject) -> str:
    """Everything that was found, with what was not checked: without it the list would claim more than it knows."""
    found, checks = subject.findings, subject.checks
    errors = sum(each.finding.severity == "error" and each.under is None for each in found)
    pieces = [f"## {code(subject.title)}: {plural(errors, 'error')}, {plural(len(found), 'finding')}\n"]
    pieces += [f"{_below(found, each)}{markdown(each)}" for each in found]
    if undone := [f"{check.name}: {check.unchecked}" for check in checks if check.unchecked]:
        pieces.append(f"Not checked:\n\n{fenced(undone)}\n")
    if ok := [code(check.name) for check in checks if check.state == "ok"]:
        pieces.append(f"Ok: {', '.join(ok)}\n")
    if subject.stage != "examined":
        pieces.append("Not looked at to the end yet.\n")
    return "\n".join(pieces)


def _below(found: list[Told], told: Told) -> str:
    return "" if told.under is None else f"(follows from {code(found[told.under].finding.code)}) "
