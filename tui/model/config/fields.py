"""The fields of a config.json as lines: nested ones with dots, as `text_config.hidden_size`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracer.infer.canonical import NESTED
from tui.model.subject import Subject

_DEEPEST = 8


def config_of(subject: Subject) -> Mapping[str, Any]:
    """The config.json, or what stands for it; empty where nothing does."""
    return subject.config or (subject.store.run.config if subject.store else {}) or {}


def flat(config: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every field by its dotted name, in the order of the file."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value and depth < _DEEPEST:
            yield from flat(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value


def dotted(config: Mapping[str, Any], name: str) -> str | None:
    """The dotted name of a field that is known by its own name or by all of it; None where there is none.

    What is nested outranks what lies around it, as in `tracer.infer.canonical`.
    """
    inside = [f"{key}.{name}" for key in NESTED]
    return next((found for found in (*inside, name) if _has(config, found.split("."))), None)


def _has(config: Mapping[str, Any], path: list[str]) -> bool:
    value: Any = config
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True
