"""A field of config.json: its value, and what was found about it."""

from __future__ import annotations

from collections.abc import Sequence

from tui.model.line import Line, Span, Target
from tui.model.path.scene import HOP, Scene


def of_field(scene: Scene, name: str) -> Sequence[Line]:
    lines = [*scene.title(Span(name, "strong"), Span("  field of config.json", "dim")), *_value(scene, name)]
    for number, told in enumerate(scene.subject.findings):
        if told.finding.subject == name:
            lines.append(scene.hop("finding", Span(told.finding.code, "bad", Target("finding", str(number)))))
            lines += scene.told(told.finding.message, indent=HOP)
    return lines


def _value(scene: Scene, name: str) -> Sequence[Line]:
    value: object = scene.subject.config
    for key in name.split("."):
        if not isinstance(value, dict) or key not in value:
            return [scene.hop("value", Span("· not in the file", "unsure"))]
        value = value[key]
    return [scene.hop("value", Span(repr(value)))]
