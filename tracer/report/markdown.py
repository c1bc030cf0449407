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

_COLUMNS = 96
"""Fences do not wrap."""
_LONGEST = 600
"""Characters of one value of the evidence: a list of 90,000 names is in --json."""


def of_finding(finding: Finding) -> str:
    """Severity, code and subject as a head, the rest below it."""
    head = f"**{finding.severity}** {code(finding.code)} {code(finding.subject)}"
    return f"{head}\n\n{fenced(_body(finding))}"


def _body(finding: Finding) -> Iterator[str]:
    yield finding.message
    if finding.rank is not None:
        yield f"rank: {finding.rank}"
    if finding.fix:
        yield f"fix: {finding.fix}"
    yield from (f"{name}: {told}" for name, told in evidence(finding.evidence))


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
    return textwrap.wrap(line, _COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or [""]


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
