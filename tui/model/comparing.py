"""Beside another checkpoint or trace: which weight is which, what differs, and what was not compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from mappings.names import HOLE
from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.checks import Check, findings
from tracer.commands.diff_traces import load_checks
from tracer.diff import asked, table, verdict
from tracer.diff.checkpoints import compare
from tracer.diff.compared import Comparison
from tracer.diff.loads import telling
from tracer.diff.loads.compare import compare as compare_loads
from tracer.diff.loads.placements import Load
from tracer.diff.sides import is_trace, open_side
from tracer.errors import UsageError
from tracer.reading import check_structure, open_trace
from tui.model.columns import both, cut_start, fitted, wide
from tui.model.findings.chips import SHOWN
from tui.model.findings.named import spelled
from tui.model.line import GLYPHS, Line, Page, Span, Target, Text
from tui.model.subject import Subject
from tui.model.wrapped import paragraph

_BELOW = "    "
MOST_ROWS = 500
"""Lines of names that are drawn: two models that have nothing in common differ in each of 90,000."""


@dataclass(frozen=True)
class Compared:
    """What a comparison came to."""

    sentence: str
    a: str
    b: str
    same: bool
    """Whether nothing was found to differ; what was not compared, the checks tell."""
    rows: Sequence[tuple[str, str, str]]
    """Names folded, how many, what differs."""
    checks: Sequence[Check] = ()
    checkpoint: Checkpoint | None = None
    """The other one, where it is one whose values can be read too."""
    twins: Mapping[str, TensorInfo] = field(default_factory=dict)
    """Its tensor for each of ours that is one weight with it, under whatever name."""


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
    said = verdict.sentence(found).replace(" (--values)", ""), str(found.a), str(found.b)
    checks = [_here(check) for check in asked.checks(found)]
    return Compared(*said, found.same, rows, checks, two.checkpoint, _twins(found))


def _twins(found: Comparison) -> dict[str, TensorInfo]:
    """Of fused weights there is none: a part has no tensor of its own."""
    alone = ((pair.a[0].members, pair.b[0].members) for pair in found.pairs if len(pair.a) == len(pair.b) == 1)
    return {
        info.name: theirs.get(leaf, next(iter(theirs.values())))
        for own, theirs in alone for leaf, info in own.items() if leaf in theirs or len(own) == 1
    }  # fmt: skip


def _here(check: Check) -> Check:
    """What is done here in the place of an option."""
    if check.name != "values" or not check.unchecked:
        return check
    return replace(check, unchecked="headers only; v reads one tensor on both sides, `tracer diff --values` all")


def _loads(a: str, b: str) -> Compared:
    check_structure(Path(b))  # the other one was examined when it was opened
    with closing(open_trace(Path(a))) as one, closing(open_trace(Path(b))) as two:
        found = compare_loads(Load("A", a, one), Load("B", b, two))
        rows = [(group.name, f"x{group.tensors}", f"{group.at}{group.text}") for group in telling.groups(found)]
        checks = load_checks(found)
        return Compared(telling.sentence(found), str(found.a), str(found.b), not found.differences, rows, checks)


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
        yield from paragraph(state.why, width, Span("✗ ", "bad"), "bad")
    elif state.found is None:
        yield fitted((Span(f"… comparing with {state.other}", "dim"),), width)
    else:
        yield from _found(state.found, subject, width)


def _sign(found: Compared) -> Span:
    """Nothing is called the same of which not all was compared."""
    if not found.same:
        return Span("≠ ", "warn")
    complete = not any(check.unchecked for check in found.checks)
    return Span(f"{GLYPHS['good']} ", "good") if complete else Span(f"{GLYPHS['unsure']} ", "unsure")


def _found(found: Compared, subject: Subject, width: int) -> Iterator[Line]:
    yield from paragraph(found.sentence, width, _sign(found), "strong")
    for side in (found.a, found.b):
        yield from paragraph(side, width, "  ", "dim")
    yield ()
    for row in found.rows[:MOST_ROWS]:
        yield from _row(subject, *row, width)
    if len(found.rows) > MOST_ROWS:
        told = f"{len(found.rows) - MOST_ROWS:,} more lines; `tracer diff --all` prints them"
        yield from paragraph(told, width, Span("… ", "dim"), "dim")
    yield ()
    for finding in findings(found.checks):
        mark, role = SHOWN[finding.severity]
        yield from paragraph(f"{finding.code}  {finding.message}", width, Span(f"{mark} ", role), role)
    for check in found.checks:
        if check.unchecked:
            start = Span(f"· not checked: {check.name} ", "unsure")
            yield from paragraph(f"({check.unchecked})", width, start, "unsure")


def _row(subject: Subject, name: str, count: str, told: str, width: int) -> Iterator[Line]:
    """What differs stands behind the name, or where it has no room there below it."""
    first = _first(subject, name)
    target, numbers = Target("tensor", first) if first else None, Span(f" {count}  ", "number")
    if wide(name) + wide(numbers.text) + wide(told) < width:
        yield both((Span(name, "name", target),), (numbers, Span(told)), width)
        return
    yield both((Span(cut_start(name, width - wide(numbers.text) - 1), "name", target),), (numbers,), width)
    yield from paragraph(told, width, _BELOW)


def _first(subject: Subject, name: str) -> str | None:
    """The first tensor of this side that a folded name means."""
    meant = spelled(name)
    numbers = iter(min(allowed) if allowed else 0 for allowed in meant.allowed)
    first = ".".join(str(next(numbers, 0)) if segment == HOLE else segment for segment in meant.template.split("."))
    return first if first in subject.positions else None
