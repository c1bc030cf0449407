"""Beside another checkpoint or trace: which weight is which, what differs, and what was not compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from mappings.names import HOLE
from tracer.checkpoint.folder import Checkpoint
from tracer.checks import Check, findings
from tracer.diff import asked, table, verdict
from tracer.diff.checkpoints import compare
from tracer.diff.loads import telling
from tracer.diff.loads.compare import compare as compare_loads
from tracer.diff.loads.placements import Load
from tracer.diff.sides import is_trace, open_side
from tracer.errors import UsageError
from tracer.reading import open_trace
from tui.model.columns import both, cut_start, fitted
from tui.model.findings.chips import SHOWN
from tui.model.findings.named import spelled
from tui.model.line import Line, Page, Role, Span, Target, Text
from tui.model.subject import Subject


@dataclass(frozen=True)
class Compared:
    """What a comparison came to."""

    sentence: str
    a: str
    b: str
    same: bool
    rows: Sequence[tuple[str, str, str]]
    """Names folded, how many, what differs."""
    checks: Sequence[Check] = ()
    checkpoint: Checkpoint | None = None
    """The other one, where it is one whose values can be read too."""


def beside(subject: Subject, other: str) -> Compared:
    """By headers alone. Raises InputError and UsageError for what cannot be compared."""
    if not subject.where:
        raise UsageError("the embedded default has no files to be compared with")
    kinds = is_trace(subject.where), is_trace(other)
    if kinds[0] != kinds[1]:
        raise UsageError(f"{subject.where} and {other}: expected two checkpoints, or two traces")
    return _loads(subject.where, other) if kinds[0] else _checkpoints(subject.where, other)


def _checkpoints(a: str, b: str) -> Compared:
    one, two = open_side("A", a, False), open_side("B", b, False)
    found = compare(one, two, False, False, lambda done, total: None)
    rows = table.rows(found, whole=False)
    said = verdict.sentence(found), str(found.a), str(found.b)
    return Compared(*said, found.same, rows, asked.checks(found), two.checkpoint)


def _loads(a: str, b: str) -> Compared:
    with closing(open_trace(Path(a))) as one, closing(open_trace(Path(b))) as two:
        found = compare_loads(Load("A", a, one), Load("B", b, two))
        rows = [(line.strip(), "", "") for line in telling.lines(found, True, 0)]
        left = [Check("moves", unchecked=reason) for reason in found.unchecked]
        return Compared(telling.sentence(found), str(found.a), str(found.b), found.same, rows, left)


@dataclass(frozen=True)
class Comparing:
    """How far it is."""

    other: str = ""
    found: Compared | None = None
    why: str = ""
    """What stands against it."""


def compared(state: Comparing, subject: Subject) -> Page:
    """The page of it."""
    return Text(lambda width: list(_lines(state, subject, width)))


def _lines(state: Comparing, subject: Subject, width: int) -> Iterator[Line]:
    if not state.other:
        yield fitted((Span("press D and name another checkpoint or trace", "dim"),), width)
    elif state.why:
        yield from _wrapped(f"✗ {state.why}", width, "bad")
    elif state.found is None:
        yield fitted((Span(f"… comparing with {state.other}", "dim"),), width)
    else:
        yield from _found(state.found, subject, width)


def _found(found: Compared, subject: Subject, width: int) -> Iterator[Line]:
    glyph = Span("✓ " if found.same else "≠ ", "good" if found.same else "warn")
    for number, piece in enumerate(wrap(found.sentence, max(width - 2, 10))):
        yield (glyph if number == 0 else Span("  "), Span(piece, "strong"))
    for side in (found.a, found.b):
        yield fitted((Span("  "), Span(side, "dim")), width)
    yield ()
    for name, count, told in found.rows:
        yield _row(subject, name, count, told, width)
    yield ()
    for finding in findings(found.checks):
        mark, role = SHOWN[finding.severity]
        yield from _wrapped(f"{mark} {finding.code}  {finding.message}", width, role)
    for check in found.checks:
        if check.unchecked:
            yield from _wrapped(f"· not checked: {check.name} ({check.unchecked})", width, "unsure")


def _row(subject: Subject, name: str, count: str, told: str, width: int) -> Line:
    first = _first(subject, name)
    room = max(width // 2, width - len(told) - len(count) - 4)
    span = Span(cut_start(name, room), "name", Target("tensor", first) if first else None)
    return both((span,), (Span(f" {count}  ", "number"), Span(told)), width)


def _first(subject: Subject, name: str) -> str | None:
    """The first tensor of this side that a folded name means."""
    meant = spelled(name)
    numbers = iter(min(allowed) if allowed else 0 for allowed in meant.allowed)
    first = ".".join(str(next(numbers, 0)) if segment == HOLE else segment for segment in meant.template.split("."))
    return first if first in subject.positions else None


def _wrapped(text: str, width: int, role: Role) -> Iterator[Line]:
    yield from ((Span(piece, role),) for piece in wrap(text, max(width, 10)))
