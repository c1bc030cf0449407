"""A field of config.json: its value, and what was found about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mappings.findings import Finding
from tui.model.config.fields import config_of, dotted
from tui.model.line import Line, Span
from tui.model.path.finding import found_lines
from tui.model.path.scene import HOP, Scene

_NOWHERE = object()


def of_field(scene: Scene, name: str) -> Sequence[Line]:
    lines = [*scene.title(Span(name, "strong"), Span("  field of config.json", "dim")), *_value(scene, name)]
    numbers = [n for n, told in enumerate(scene.subject.findings) if _is_about(scene, told.finding, name)]
    return [*lines, *found_lines(scene, numbers)]


def _is_about(scene: Scene, finding: Finding, name: str) -> bool:
    """By the dotted name, or by the field's own."""
    told = (finding.subject, finding.evidence.get("field"))
    return any(isinstance(each, str) and name in (each, dotted(config_of(scene.subject), each)) for each in told)


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
