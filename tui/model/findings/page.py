"""The list of findings: causes first and what follows from each folded below it, then what was and was not checked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from mappings.findings import Finding, Severity
from tracer.checks import Check
from tracer.commands.output import printable
from tracer.diagnose.weight import weight_of
from tracer.report.findings import CALLED, MOST_OF_A_CODE
from tracer.report.markdown import several
from tracer.report.words import plural
from tui.model.columns import fitted, wide
from tui.model.findings.chips import SHOWN
from tui.model.findings.leads import subject_target
from tui.model.findings.markdown import all_markdown, markdown
from tui.model.findings.named import marks
from tui.model.line import GLYPHS, Line, Page, Role, Span, Target, Text, line, plain
from tui.model.subject import Subject
from tui.model.wrapped import paragraph

__all__ = ["all_markdown", "findings", "markdown", "marks", "next_number", "subject_target"]

CLOSED, OPENED = "▸", "▾"
_INDENT = "    "
_MOST_OF_A_LIST = 6
"""Entries of a list in the evidence that are shown; the Markdown and --json have more."""


def findings(subject: Subject, opened: frozenset[int] = frozenset(), read: int = 0) -> Page:
    """Of the causes whose numbers are in `opened`, what follows from them is shown too. Of `read` tensors the values
    were read since.
    """  # fmt: skip
    return Text(lambda width: _drawn(subject, opened, read, width))


def _drawn(subject: Subject, opened: frozenset[int], read: int, width: int) -> Sequence[Line]:
    """Once for all keys that change nothing of it."""
    asked, index = (opened, read, width), subject.index
    if index.listed[0] != asked:
        index.listed = asked, [fitted(spans, width) for spans in _Listed(subject, opened, read).lines(width)]
    return index.listed[1]


def next_number(subject: Subject, current: int | None, backwards: bool = False) -> int | None:
    """The next error or warning, round the end; what follows from a cause is skipped, as it is mended with it."""
    numbers = subject.index.walked
    if not numbers:
        return None
    if backwards:
        return numbers[(0 if current is None else bisect_left(numbers, current)) - 1]
    return numbers[(0 if current is None else bisect_right(numbers, current)) % len(numbers)]


def _looking(subject: Subject, width: int) -> Iterator[Line]:
    told = "not looked at yet: files, names, shapes and config.json are being examined"
    yield from paragraph(told, width, Span("… ", "unsure"), "unsure")
    if subject.refused is not None:
        yield ()
        yield from paragraph(subject.refused.message, width, Span("there is no plan: ", "strong"))


def _nothing(subject: Subject, width: int) -> Iterator[Line]:
    """What was not here, or could not be held against anything, stands in the same sentence."""
    absent = next((f"{check.absent}; " for check in subject.checks if check.absent), "")
    limits = list(dict.fromkeys(check.limit for check in subject.checks if check.limit))
    limited = f" with what could be checked ({'; '.join(limits)})" if limits else ""
    undone = sum(bool(check.unchecked) for check in subject.checks)
    left = f"; {plural(undone, 'check')} could not be made, or not to the end" if undone else ""
    what = f"no errors were found{limited}{left}" if subject.checks else "nothing was checked"
    sure = subject.checks and not (undone or absent or limits)
    mark = Span(f"{GLYPHS['good']} ", "good") if sure else Span(f"{GLYPHS['unsure']} ", "unsure")
    yield from paragraph(absent + what, width, mark, "strong")
    yield ()


# --- the findings ---


class _Listed:
    """All of them, each with where it leads and what follows from it: looked up once for all."""

    def __init__(self, subject: Subject, opened: frozenset[int], read: int) -> None:
        self.subject, self.opened, self.read = subject, opened, read
        self.leads = subject.index.leads

    def lines(self, width: int) -> Iterator[Line]:
        subject = self.subject
        if subject.stage != "examined":
            yield from _looking(subject, width)
            return
        if not subject.index.counts["error"]:
            yield from _nothing(subject, width)
        kinds = subject.index.kinds
        for number in sorted(chain.from_iterable(own[:MOST_OF_A_CODE] for own in kinds.values())):
            yield from self._finding(number, width)
            yield from self._explained(number, width)
            yield ()
        yield from _more({kind: len(own) for kind, own in kinds.items()}, width)
        yield from _checks([self._since(check) for check in subject.checks], width)

    def _since(self, check: Check) -> Check:
        """What was read meanwhile, and shows nothing of the others."""
        if check.name != "values" or not check.unchecked or not self.read:
            return check
        done = f"those of {self.read:,} of {plural(len(self.subject.tensors), 'tensor')} were read here"
        return replace(check, unchecked=f"{done}; else {check.unchecked}")

    def _finding(self, number: int, width: int, indent: str = "") -> Iterator[Line]:
        """Its first line leads to itself, the line with the arrow to what it is about."""
        finding, inner = self.subject.findings[number].finding, indent + _INDENT
        yield from _first(number, finding, indent, width)
        rank = f" (rank {finding.rank})" if finding.rank is not None else ""
        yield from paragraph(f"{finding.message}{rank}", width, inner)
        if finding.fix:
            yield from paragraph(finding.fix, width, Span(f"{inner}fix: ", "strong"), "good")
        where = self.leads.of(finding)
        if where:
            yield from _arrow(where, width, inner)
        yield from self._evidence(finding.evidence, where, width, inner)

    def _evidence(
        self, evidence: Mapping[str, Any], where: Target | None, width: int, indent: str
    ) -> Iterator[Line]:  # fmt: skip
        """What leads somewhere on lines of its own, numbers and words beside each other below."""
        plain: list[str] = []
        for key, value in evidence.items():
            target = self.leads.entry(key, value)
            if entries := several(value):
                yield from self._list(key, entries, width, indent)
            elif target is None or target == where:
                plain.append(f"{key} {in_words(value)}")
            else:
                yield from paragraph(in_words(value), width, Span(f"{indent}{printable(key)}: ", "dim"), "dim", target)
        yield from paragraph(" · ".join(plain), width, Span(indent, "dim"), "dim")

    def _list(self, key: str, entries: Sequence[tuple[str, str]], width: int, indent: str) -> Iterator[Line]:
        name = printable(key)
        for number, (entry, more) in enumerate(entries[:_MOST_OF_A_LIST]):
            start = f"{indent}{name}: " if number == 0 else " " * (len(indent) + len(name) + 2)
            yield from paragraph(entry + more, width, Span(start, "dim"), "dim", self.leads.entry(key, entry))
        if len(entries) > _MOST_OF_A_LIST:
            more = f"… and {len(entries) - _MOST_OF_A_LIST:,} more"
            yield line(Span(" " * (len(indent) + len(name) + 2) + more, "dim"))

    def _explained(self, number: int, width: int) -> Iterator[Line]:
        follows = self.subject.index.following.get(number, ())
        if not follows:
            return
        opened, counts = number in self.opened, Counter[str]()
        for n in follows:
            finding = self.subject.findings[n].finding
            counts[finding.code] += weight_of(finding)
        codes = ", ".join(f"{count:,} {code}" for code, count in counts.items())
        text = f"{OPENED if opened else CLOSED} explains {plural(len(follows), 'finding')}: {codes}"
        yield line(_INDENT, Span(text, "derived", Target("finding", str(number))))
        for n in follows[:MOST_OF_A_CODE] if opened else ():
            yield from self._finding(n, width, _INDENT * 2)
        if opened and len(follows) > MOST_OF_A_CODE:
            yield line(_INDENT * 2, Span(f"… and {len(follows) - MOST_OF_A_CODE:,} more; --json has all", "dim"))


def _more(seen: Mapping[tuple[Severity, str], int], width: int) -> Iterator[Line]:
    """What the list leaves out."""
    for (severity, code), count in seen.items():
        if count > MOST_OF_A_CODE:
            told = f"{count - MOST_OF_A_CODE:,} more {code}; in the tree their names are marked, and --json has all"
            yield from paragraph(told, width, Span("… ", SHOWN[severity][1]))
            yield ()


def _first(number: int, finding: Finding, indent: str, width: int) -> Iterator[Line]:
    """A name that has no room behind the code stands below it, whole."""
    (glyph, role), itself = SHOWN[finding.severity], Target("finding", str(number))
    head = Span(f"{glyph} {CALLED[finding.severity]:<7}", role, itself)
    start = line(indent, head, "  ", Span(f"{finding.code}  ", "strong", itself))
    subject = Span(printable(finding.subject), "name", itself)
    if wide(plain((*start, subject))) <= width:
        yield (*start, subject)
        return
    yield start
    yield from paragraph(subject.text, width, indent + _INDENT, "name", itself)


def _arrow(where: Target, width: int, indent: str) -> Iterator[Line]:
    what = {"param": "parameter", "row": "mapping row", "field": "config.json:", "page": "page"}.get(where.kind)
    start = Span(f"{indent}→ {what or where.kind} ", "dim", where)
    yield from paragraph(where.name, width, start, "name", where)


def in_words(value: Any) -> str:
    """A value of the evidence."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {in_words(each)}" for key, each in value.items()) or "none"
    if isinstance(value, tuple) and all(isinstance(each, int) for each in value):
        return f"({', '.join(map(str, value))})"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(in_words, value)) or "none"
    return str(value)


# --- checks ---


def _checks(checks: Sequence[Check], width: int) -> Iterator[Line]:
    undone: dict[str, list[str]] = {}
    for check in checks:
        if check.unchecked:
            undone.setdefault(_why(check), []).append(check.name)
    yield from _section("not checked", [(", ".join(names), why) for why, names in undone.items()], "unsure", width)
    ok = [(check.name, check.told) for check in checks if check.state == "ok"]
    yield from _section("ok", ok, "good", width)


def _why(check: Check) -> str:
    """Nobody has given this program the option that a check of another names as its reason."""
    return (check.limit or "it was not asked for") if check.unchecked.startswith("--") else check.unchecked


def _section(title: str, told: Iterable[tuple[str, str]], role: Role, width: int) -> Iterator[Line]:
    for number, (name, text) in enumerate(told):
        if number == 0:
            yield line(Span(title, "heading"))
        start = Span(f"{GLYPHS[role]} {printable(name)}", role)
        yield from paragraph(text, width, start._replace(text=f"{start.text}: ")) if text else [line(start)]
    if told:
        yield ()
