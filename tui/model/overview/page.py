"""The architecture at a glance, drawn from the tensors: a picture, then the facts with what says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.commands.output import printable
from tracer.report.words import plural
from tui.model.columns import cut_start, fitted, wide
from tui.model.findings.chips import SHOWN
from tui.model.findings.page import next_number
from tui.model.line import Line, Page, Span, Target, Text, line
from tui.model.overview.facts import Fact, facts
from tui.model.overview.inference import Inference
from tui.model.overview.kinds import stacks
from tui.model.overview.picture import picture
from tui.model.overview.ranks import ranks
from tui.model.overview.values import Values
from tui.model.subject import Subject
from tui.model.wrapped import paragraph

_LABEL = 16
_ROOMY = 110
"""Columns from which on what says so has a column of its own."""
_VALUE = 44
_MOST_BESIDE = 12
"""Towers, other stacks and names of no family that are listed."""


def overview(subject: Subject, inference: Inference | None = None) -> Page:
    """`inference` is what `study` gave, None as long as it is on its way."""
    values = Values(subject, inference)
    held = list(facts(values, inference))
    if inference is None or inference.adapter is None:
        held += ranks(subject, inference)
    return Text(lambda width: [_clean(fitted(each, width)) for each in _lines(values, inference, held, width)])


def _clean(spans: Line) -> Line:
    return tuple(span if span.text.isprintable() else span._replace(text=printable(span.text)) for span in spans)


def _lines(values: Values, inference: Inference | None, held: Sequence[Fact], width: int) -> Iterator[Line]:
    subject = values.subject
    yield line(Span(cut_start(printable(subject.title), width), "heading"))
    yield from _worst(subject, width)
    yield ()
    if inference is None:
        yield line(Span("… the tensors are being looked at", "unsure"))
    elif inference.why_not:
        yield from paragraph(f"the tensors were not looked at: {inference.why_not}", width, Span("· ", "unsure"))
    elif inference.adapter is not None:
        told = f"an adapter and no model by itself: {inference.adapter.told}"
        yield from paragraph(told, width, Span("· ", "unsure"))
    elif inference.found is None or inference.found.names is None:
        yield line(Span("· there are no tensors here that could be drawn", "unsure"))
    else:
        yield from picture(inference.found.names, values, width)
        yield from _stacks(inference, width)
    yield ()
    for fact in held:
        yield from _fact(fact, width)


def _worst(subject: Subject, width: int) -> Iterator[Line]:
    """What is wrong outranks what it looks like."""
    if subject.stage != "examined":
        yield line(Span("… whether anything is wrong with it was not looked at yet", "unsure"))
        return
    number = next_number(subject, None)
    if number is not None:
        finding, at = subject.findings[number].finding, Target("finding", str(number))
        glyph, role = SHOWN[finding.severity]
        yield line(Span(f"{glyph} {finding.severity} ", role, at), Span(finding.code, "strong", at))
        yield from paragraph(finding.message, width, "  ", "plain", at)


def _stacks(inference: Inference, width: int) -> Iterator[Line]:
    assert inference.found is not None and inference.found.names is not None
    found = stacks(inference.found.names)
    for name, layers, tensors in found[:_MOST_BESIDE]:
        told = f"{plural(layers, 'layer')}, " if layers else ""
        yield line("  beside it  ", Span(printable(name), "name"), Span(f"  {told}{plural(tensors, 'tensor')}"))
    if rest := found[_MOST_BESIDE:]:
        tensors = sum(tensors for _, _, tensors in rest)
        yield line(f"  beside it  … {plural(len(rest), 'more name')} with {plural(tensors, 'tensor')}")


def _fact(fact: Fact, width: int) -> Iterator[Line]:
    """What says so stands beside what it says where it fits, else below."""
    *above, last = _flow(fact.label, fact.shown, width)
    yield from above
    used = sum(wide(span.text) for span in last)
    beside = max(used + 2, _LABEL + _VALUE if width >= _ROOMY else 0)
    if fact.told and beside + wide(fact.told) <= width:
        yield (*last, Span(" " * (beside - used)), Span(fact.told, fact.role))
        return
    yield last
    yield from paragraph(fact.told, width, Span(" " * _LABEL), fact.role)


def _flow(label: str, spans: Line, width: int) -> Iterator[Line]:
    """Spans behind a label, on as many lines as they need; none is broken but one that is longer than a line."""
    held, used = [Span(f"{label:<{_LABEL}}", "dim")], _LABEL
    for span in spans:
        if used + wide(span.text.rstrip()) > width and used > _LABEL:
            yield _stripped(held)
            held, used = [Span(" " * _LABEL)], _LABEL
        held.append(span)
        used += wide(span.text)
    yield _stripped(held)


def _stripped(spans: Sequence[Span]) -> Line:
    return (*spans[:-1], spans[-1]._replace(text=spans[-1].text.rstrip())) if len(spans) > 1 else tuple(spans)
