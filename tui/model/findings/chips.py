"""The top line: how many checks were ok, what was found, what was not checked. The worst stands first.

Whoever sees only the beginning of the line, as there was no room for more, should have seen what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mappings.findings import SEVERITIES, Severity
from tracer.report.findings import CALLED, SIGNS
from tracer.report.words import plural
from tui.model.line import GLYPHS, Role, Span, Target
from tui.model.subject import Subject

LOOKING = "… looking"
_ROLES: Mapping[Severity, Role] = {"error": "bad", "warning": "warn", "info": "dim"}
SHOWN: Mapping[Severity, tuple[str, Role]] = {each: (SIGNS[each], _ROLES[each]) for each in SEVERITIES}
END = "end"
"""The check of whether a trace has one; without it the load was cut short."""
_HOLLOW = "value.all-zero"
"""As a remark it is about whole files: headers without a model."""
_FINDINGS = Target("page", "findings")


def chips(subject: Subject) -> list[Span]:
    """What is known by now, two blanks between any two; nothing is called ok before it was looked at."""
    if subject.stage != "examined":
        return [Span(LOOKING, "unsure", _FINDINGS)]
    spans: list[Span] = []
    grave = [*_cut_short(subject), *_found(subject, "error"), *_absent(subject), *_found(subject, "warning")]
    for chip in [*grave, *_checks(subject), *_found(subject, "info")]:
        spans += [Span("  ")] * bool(spans) + [chip]
    return spans or [Span("· nothing was checked", "unsure", _FINDINGS)]


def _cut_short(subject: Subject) -> Iterator[Span]:
    """What is said of a part of a load is not said of the load."""
    if any(check.name == END and check.unchecked for check in subject.checks):
        yield Span(f"{GLYPHS['bad']} cut short", "bad", _FINDINGS)


def _absent(subject: Subject) -> Iterator[Span]:
    """That there is nothing of which all the rest could be said."""
    if any(check.absent for check in subject.checks) or any(each.code == _HOLLOW for each in subject.remarks):
        yield Span(f"{GLYPHS['unsure']} no weights are here", "warn", _FINDINGS)


def _found(subject: Subject, severity: Severity) -> Iterator[Span]:
    """Causes, and in brackets what follows from others and is mended with them; where all do, how many."""
    causes, count = subject.index.causes.get(severity, ()), subject.index.counts[severity]
    if not count:
        return
    follow = count - len(causes)
    follows = "follows" if follow == 1 else "follow"
    told = f"{plural(len(causes), CALLED[severity])}{f' ({follow} more {follows})' if follow else ''}"
    if not causes:
        told = f"{plural(count, CALLED[severity])} that {follows} from others"
    first = next(iter(causes), None)
    if first is None:
        first = next(n for n, told in enumerate(subject.findings) if told.finding.severity == severity)
    glyph, role = SHOWN[severity]
    yield Span(f"{glyph} {told}", role, Target("finding", str(first)))


def _checks(subject: Subject) -> Iterator[Span]:
    undone = sum(bool(check.unchecked) for check in subject.checks)
    ok = sum(check.state == "ok" for check in subject.checks)
    if undone:
        yield Span(f"{GLYPHS['unsure']} {undone} not checked", "unsure", _FINDINGS)
    if ok:
        yield Span(f"{GLYPHS['good']} {ok} ok", "good", _FINDINGS)
