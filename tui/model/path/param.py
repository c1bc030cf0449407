"""A parameter: its shape before and after cutting, all its sources, what fills the rest, and its picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.events import Padding
from tracer.report import words
from tracer.slices.placement import Placement
from tui.model.kept import kept
from tui.model.line import GLYPHS, Line, Span, Target
from tui.model.path.finding import found_lines
from tui.model.path.scene import HOP, Scene
from tui.model.path.tensor import param_lines
from tui.model.path.unseen import drawn, feeding, unobserved

MOST_SOURCES = 4096
"""That are listed; a parameter of 512 experts has 1,024, and as many scales."""


def of_param(scene: Scene, name: str) -> Sequence[Line]:
    placement = scene.placement
    if placement is None:
        return list(scene.told("no rows apply, so no parameter is known", "unsure"))
    title = scene.title(Span(name, "strong"), Span("  parameter of the engine", "dim"))
    return [*title, *_body(scene, placement, name), *_found(scene, name)]


def _found(scene: Scene, name: str) -> Iterator[Line]:
    """What was found about it."""
    index = scene.subject.index
    numbers = index.on_page(Target("param", name), index.about(name))
    if numbers:
        yield ()
    yield from found_lines(scene, numbers)


def _body(scene: Scene, placement: Placement, name: str) -> Sequence[Line]:
    lines: list[Line] = []
    lines += param_lines(scene, name, None)
    for alias in placement.aliases(name):
        lines.append(scene.under(Span("= "), Span(alias, "derived", Target("param", alias)), Span(" is tied to it")))
    lines += _sources(scene, placement, name)
    if (refusal := placement.refusal()) is not None:
        return [*lines, *scene.told(f"✗ tp {placement.tp}: {refusal}", "bad", HOP)]
    lines += [line for pad in placement.pads(name) for line in _pad(scene, pad)]
    return [*lines, (), *drawn(scene, placement, name)]


def _sources(scene: Scene, placement: Placement, param: str) -> Iterator[Line]:
    names, planned = feeding(placement, param)
    if names and planned:
        yield from unobserved(scene, placement)
    if not names:
        yield scene.hop("sources", Span("✗ none: no tensor leads into it", "bad"))
    for number, name in enumerate(names[:MOST_SOURCES]):
        info = scene.subject.tensor(name)
        told = f"  {kept(info)}" if info else ""
        what = words.plural(len(names), "source") if number == 0 else ""
        yield scene.hop(what, Span(name, "name", Target("tensor", name)), Span(told, "dim"))
    yield from _more(scene, len(names))
    gone = placement.absent(param) if names else []
    for name in gone[:MOST_SOURCES]:
        yield scene.under(Span(f"{GLYPHS['bad']} not there: ", "bad"), Span(name, "name"))
    yield from _more(scene, len(gone))


def _more(scene: Scene, total: int) -> Iterator[Line]:
    if total > MOST_SOURCES:
        yield scene.under(Span(f"… and {total - MOST_SOURCES:,} more", "dim"))


def _pad(scene: Scene, pad: Padding) -> Iterator[Line]:
    where = words.side((pad.dst,), scene.placement.shape(pad.param, pad.rank) or () if scene.placement else ())
    yield scene.hop("filled", Span(f"rank {pad.rank} {where} = {pad.value:g}", "pad"), Span(f"  {pad.reason}", "dim"))
