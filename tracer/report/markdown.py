"""A finding as Markdown, for an issue or a pull request. What comes from files stays text there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mappings.findings import Finding
from tracer.commands.output import printable
from tracer.events import finite

SIGNS = {"error": "✗", "warning": "!", "info": "i"}
"""Beside the word, so that neither colour nor place has to tell them apart."""
_LONGEST = 600
"""Characters of one value of the evidence: a list of 90,000 names is in --json."""
_SPECIAL = re.compile(r"[\\`*\[\]<>&|~#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def of_finding(finding: Finding) -> str:
    """Headline, message, fix and evidence."""
    rank = f" (rank {finding.rank})" if finding.rank is not None else ""
    subject = f" {_code(finding.subject)}" if finding.subject else ""
    paragraphs = [f"**{SIGNS[finding.severity]} {finding.severity}** {_code(finding.code)}{subject}{rank}"]
    paragraphs.append(_text(finding.message))
    if finding.fix:
        paragraphs.append(f"**Fix:** {_text(finding.fix)}")
    if finding.evidence:
        paragraphs.append(_fenced("\n".join(f"{name}: {told}" for name, told in evidence(finding.evidence))))
    return "\n\n".join(paragraphs)


def evidence(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values, a line each."""
    for name, value in given.items():
        yield printable(str(name)), spelled(value)


def spelled(value: Any) -> str:
    """A value as JSON, a text as it is; cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(finite(value), ensure_ascii=False, default=str)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text):,} characters)"
    return printable(text)


def _text(told: str) -> str:
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}", printable(told))
    return escaped.replace("@", "&#64;")  # it would call people


def _code(name: str) -> str:
    ticks = _fence(name, 1)
    blank = " " if name.startswith("`") or name.endswith("`") else ""
    return f"{ticks}{blank}{printable(name)}{blank}{ticks}"


def _fenced(text: str) -> str:
    ticks = _fence(text, 3)
    return f"{ticks}text\n{text}\n{ticks}"


def _fence(text: str, least: int) -> str:
    """Backticks enough to hold a text that has some."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
