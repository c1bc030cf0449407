"""Findings for an issue or a pull request. Everything that a file may have put into them stands in a fence or in a
code span, where nothing is markup, a mention or a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracer.commands.output import printable
from tracer.report.words import plural
from tui.model.subject import Subject, Told
from tui.model.wrapped import wrap

_COLUMNS = 96
"""Fences do not wrap."""
_MOST_OF_A_LIST = 20
_HEADINGS = {"error": "error", "warning": "warning", "info": "remark"}


def markdown(told: Told) -> str:
    """One finding."""
    finding = told.finding
    lines = [*wrap(finding.message, _COLUMNS)]
    if finding.rank is not None:
        lines.append(f"rank: {finding.rank}")
    lines += [*_entry("fix", finding.fix)] if finding.fix else []
    lines += [text for key, value in finding.evidence.items() for text in _entry(key, value)]
    head = f"**{_HEADINGS[finding.severity]}** {code(finding.code)} {code(finding.subject)}"
    return f"{head}\n\n{fenced(lines)}\n"


def all_markdown(subject: Subject) -> str:
    """Everything that was found, with what was not checked: without it the list would claim more than it knows."""
    found, checks = subject.findings, subject.checks
    errors = sum(each.finding.severity == "error" and each.under is None for each in found)
    pieces = [f"## {code(subject.title)}: {plural(errors, 'error')}, {plural(len(found), 'finding')}\n"]
    pieces += [f"{_below(found, each)}{markdown(each)}" for each in found]
    if undone := [f"{check.name}: {check.unchecked}" for check in checks if check.unchecked]:
        pieces.append(f"Not checked:\n\n{fenced(text for each in undone for text in wrap(each, _COLUMNS))}\n")
    if ok := [code(check.name) for check in checks if check.state == "ok"]:
        pieces.append(f"Ok: {', '.join(ok)}\n")
    if subject.stage != "examined":
        pieces.append("Not looked at to the end yet.\n")
    return "\n".join(pieces)


def _below(found: list[Told], told: Told) -> str:
    return "" if told.under is None else f"(follows from {code(found[told.under].finding.code)}) "


def code(text: str) -> str:
    """A code span, its marks longer than any run of them within."""
    shown = printable(text) or " "
    marks = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{marks}{pad}{shown}{pad}{marks}"


def fenced(lines: Iterable[str]) -> str:
    """A fence, longer than any run of its marks within."""
    held = [printable(line) for line in lines]
    marks = "`" * max(3, _longest_run("\n".join(held)) + 1)
    return "\n".join([f"{marks}text", *held, marks])


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def several(value: Any) -> list[tuple[str, str]]:
    """The entries of a list of names, or of what is said of each of several; empty for anything else."""
    if isinstance(value, Mapping):
        return [(str(key), f": {each}") for key, each in value.items()]
    names = isinstance(value, list | tuple) and any(isinstance(each, str) for each in value)
    return [(str(each), "") for each in value] if names else []


def _entry(key: str, value: Any) -> Iterator[str]:
    entries = [name + more for name, more in several(value)] or [str(value)]
    for number, entry in enumerate(entries[:_MOST_OF_A_LIST]):
        start = f"{printable(str(key))}: " if number == 0 else "  "
        told = [*wrap(entry, _COLUMNS - len(start))] or [""]
        yield from (f"{start if n == 0 else '  '}{text}" for n, text in enumerate(told))
    if len(entries) > _MOST_OF_A_LIST:
        yield f"  ... and {len(entries) - _MOST_OF_A_LIST:,} more"
