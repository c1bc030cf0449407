"""A field of config.json: its value, and what was found about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracer.infer.canonical import NESTED
from tui.model.config.fields import config_of, dotted
from tui.model.line import Line, Span, Target
from tui.model.path.finding import found_lines
from tui.model.path.scene import HOP, Scene

_NOWHERE = object()


def of_field(scene: Scene, name: str) -> Sequence[Line]:
    lines = [*scene.title(Span(name, "strong"), Span("  field of config.json", "dim")), *_value(scene, name)]
    index = scene.subject.index
    return [*lines, *found_lines(scene, index.on_page(Target("field", name), index.of(*_spellings(scene, name))))]


def _spellings(scene: Scene, name: str) -> Iterator[str]:
    """The dotted name, and the field's own where that means this one."""
    yield name
    config = config_of(scene.subject)
    for key in NESTED:
        if name.startswith(f"{key}.") and dotted(config, own := name[len(key) + 1 :]) == name:
            yield own


def _value(scene: Scene, name: str) -> Sequence[Line]:
    value = next(_values(config_of(scene.subject), name), _NOWHERE)
    if value is _NOWHERE:
        return [scene.hop("value", Span("· not in the file", "unsure"))]
    first, *rest = scene.told(repr(value), indent=HOP)
    return [scene.hop("value", *first[1:]), *rest]


def _values(config: Mapping[str, Any], name: str) -> Iterator[Any]:
    """What a dotted name means; a key may have dots of its own."""
    if name in config:
        yield config[name]
    for key, value in config.items():
        if isinstance(value, Mapping) and name.startswith(f"{key}."):
            yield from _values(value, name[len(key) + 1 :])
