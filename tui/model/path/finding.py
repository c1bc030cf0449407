"""A finding with its evidence and its fix, and below it the path of what it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.report.findings import CALLED
from tui.model.findings.chips import SHOWN
from tui.model.findings.page import in_words, subject_target
from tui.model.line import Line, Span, Target
from tui.model.path.scene import HOP, Scene
from tui.model.subject import Told

MOST_SYMPTOMS = 8
MOST_ABOUT_ONE = 20


def of_finding(scene: Scene, name: str) -> Sequence[Line]:
    from tui.model.path.param import of_param
    from tui.model.path.tensor import of_tensor

    told = scene.subject.findings[int(name)]
    lines = [*_statement(scene, told), *_symptoms(scene, int(name))]
    subject = subject_target(scene.subject, told)
    if subject is None or subject.kind not in ("tensor", "param"):
        return lines if subject is None else [*lines, scene.hop("about", Span(subject.name, "name", subject))]
    path = of_tensor if subject.kind == "tensor" else of_param
    return [*lines, (), *path(scene, subject.name)]


def _statement(scene: Scene, told: Told) -> Iterator[Line]:
    finding = told.finding
    glyph, role = SHOWN[finding.severity]
    yield from scene.title(Span(f"{glyph} {CALLED[finding.severity]}  ", role), Span(finding.code, "strong"))
    yield from scene.told(finding.message)
    if finding.rank is not None:
        yield scene.hop("rank", Span(str(finding.rank)))
    if finding.fix:
        first, *rest = scene.told(finding.fix, "good", HOP)
        yield scene.hop("fix", *first[1:])
        yield from rest
    for number, (key, value) in enumerate(finding.evidence.items()):
        first, *rest = scene.told(f"{key}: {in_words(value)}", "dim", HOP)
        yield scene.hop("evidence" if number == 0 else "", *first[1:])
        yield from rest


def _symptoms(scene: Scene, number: int) -> Iterator[Line]:
    """What follows from it, or what it follows from."""
    found = scene.subject.findings
    cause = found[number].under
    if cause is not None:
        yield scene.hop("explained", Span(found[cause].finding.code, "strong", Target("finding", str(cause))))
    own = scene.subject.index.following.get(number, ())
    for place, n in enumerate(own[:MOST_SYMPTOMS]):
        what = "explains" if place == 0 else ""
        finding = found[n].finding
        yield scene.hop(what, Span(f"{finding.code}  {finding.subject}", "dim", Target("finding", str(n))))
    if len(own) > MOST_SYMPTOMS:
        yield scene.under(Span(f"… and {len(own) - MOST_SYMPTOMS} more", "dim", Target("page", "findings")))


def found_lines(scene: Scene, numbers: Sequence[int]) -> Iterator[Line]:
    """Findings on the page of what they are about; a file may have 90,000."""
    for number in numbers[:MOST_ABOUT_ONE]:
        finding = scene.subject.findings[number].finding
        glyph, role = SHOWN[finding.severity]
        yield scene.hop("finding", Span(f"{glyph} {finding.code}", role, Target("finding", str(number))))
        yield from scene.told(finding.message, indent=HOP)
    if len(numbers) > MOST_ABOUT_ONE:
        yield scene.under(Span(f"… and {len(numbers) - MOST_ABOUT_ONE:,} more", "dim", Target("page", "findings")))
