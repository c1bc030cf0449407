"""A file: what lies in it, in the order of its bytes."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.report import words
from tui.model.columns import both, cut_start, right
from tui.model.lazy import Lazy
from tui.model.line import Line, Span, Target
from tui.model.path.finding import found_lines
from tui.model.path.scene import Scene

NOT_KNOWN = "not known"
_TITLES = Span("first byte", "heading"), right(Span("size", "heading"), 12)


def of_file(scene: Scene, name: str) -> Sequence[Line]:
    own = scene.subject.held.file(name)
    total = words.size(sum(info.nbytes for info in own))
    index = scene.subject.index
    found = list(found_lines(scene, index.on_page(Target("file", name), index.of(name))))
    top = [
        *scene.title(Span(name, "strong"), Span(f"  {words.plural(len(own), 'tensor')}, {total}", "dim")),
        *found,
        both((Span("tensor", "heading"),), _TITLES, scene.width),
    ]
    if not own:
        return [*scene.title(Span(name, "strong")), *scene.told("no tensor in it is known here", "unsure"), *found]

    def line(number: int) -> Line:
        if number < len(top):
            return top[number]
        info = own[number - len(top)]
        first = NOT_KNOWN if info.offset is None else f"{info.offset:,}"
        room = max(scene.width - len(first) - 13, 8)
        name = Span(cut_start(info.name, room), "name", Target("tensor", info.name))
        return both((name,), (Span(first, "number"), right(Span(words.size(info.nbytes), "number"), 12)), scene.width)

    return Lazy(len(top) + len(own), line)
