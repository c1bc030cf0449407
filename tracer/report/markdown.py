"""A finding as Markdown, for an issue or a pull request. Whatever a file may have put into it stands in a fence or in
a code span, where nothing is markup, a mention or a link.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mappings.findings import Finding
from tracer.commands.output import printable
from tracer.events import finite
from tracer.report.findings import CALLED

_COLUMNS = 96
"""Fences do not wrap."""
_LONGEST = 600
"""Characters of one value of the evidence: a list of 90,000 names is in --json."""
_MOST = 20
"""Entries of a list of names."""


def of_finding(finding: Finding) -> str:
    """Severity, code and subject as a head, the rest below it."""
    head = f"**{CALLED[finding.severity]}** {code(finding.code)} {code(finding.subject)}"
    return f"{head}\n\n{fenced(_body(finding))}"


def _body(finding: Finding) -> Iterator[str]:
    yield finding.message
    if finding.rank is not None:
        yield f"rank: {finding.rank}"
    if finding.fix:
        yield f"fix: {finding.fix}"
    for name, value in finding.evidence.items():
        yield from _entries(str(name), value)


def _entries(name: str, value: Any) -> Iterator[str]:
    """Names below each other, anything else behind what it is called."""
    entries = several(value)
    if not entries:
        yield f"{name}: {spelled(value)}"
    for number, (entry, more) in enumerate(entries[:_MOST]):
        yield f"{name}: {entry}{more}" if number == 0 else f"  {entry}{more}"
    if len(entries) > _MOST:
        yield f"  ... and {len(entries) - _MOST:,} more"


def several(value: Any) -> list[tuple[str, str]]:
    """The entries of a list of names, or of what is said of each of several; empty for anything else."""
    if isinstance(value, Mapping):
        return [(str(key), f": {spelled(each)}") for key, each in value.items()]
    names = isinstance(value, list | tuple) and any(isinstance(each, str) for each in value)
    return [(str(each), "") for each in value] if names else []


def evidence(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values, each on a line of its own."""
    return ((str(name), spelled(value)) for name, value in given.items())


def spelled(value: Any) -> str:
    """A value as JSON, a text as it is; cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(finite(value), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def code(text: str) -> str:
    """A code span, its marks longer than any run of them within."""
    shown = printable(text) or " "
    blank = " " if shown.startswith("`") or shown.endswith("`") else ""
    marks = "`" * (_longest_run(shown) + 1)
    return f"{marks}{blank}{shown}{blank}{marks}"


def fenced(lines: Iterable[str]) -> str:
    """A fence, longer than any run of its marks within."""
    held = [piece for line in lines for piece in _wrapped(printable(line))]
    marks = "`" * max(3, max(map(_longest_run, held), default=0) + 1)
    return "\n".join([f"{marks}text", *held, marks])


def _wrapped(line: str) -> list[str]:
    """A name stays whole, and where it was indented."""
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=indent, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ) or [""]  # fmt: skip


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
