"""The fields of a config.json as lines: nested ones with dots, as `text_config.hidden_size`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracer.infer.canonical import ALIASES, NESTED
from tracer.prepare.config import source_of
from tui.model.subject import Subject

_DEEPEST = 8
_SIZES = frozenset((*ALIASES["layers"], *ALIASES["hidden"], "depth"))
_OF_THE_WHOLE = ("architectures",)


def config_of(subject: Subject) -> Mapping[str, Any]:
    """The config.json, or what stands for it; empty where nothing does."""
    return subject.config or (subject.store.run.config if subject.store else {}) or {}


def source(subject: Subject) -> str:
    """What it is from, in words: not every config is a file of its own."""
    if subject.prepared:
        return subject.prepared.configured.source
    return source_of(subject.checkpoint) if subject.checkpoint else "config.json"


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


def meant(config: Mapping[str, Any], named: str) -> str:
    """The dotted name of the field that a finding calls so; as it would be where the config does not have it.

    What is named without its place is of the text model, and never of a tower beside it that has such a field too.
    """
    outer, _, own = named.rpartition(".")
    if named in _OF_THE_WHOLE or outer not in ("", *NESTED):
        return named
    if found := dotted(config, own):
        return found
    names = (name for name, _ in flat(config) if name.rpartition(".")[2] == own)
    return next((name for name in names if not in_tower(config, name)), own)


def in_tower(config: Mapping[str, Any], name: str) -> bool:
    """Whether a field is of a part that has its own width or depth, and is not the text model."""
    inner: Any = config
    for key in name.split(".")[:-1]:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
        if key not in NESTED and isinstance(inner, Mapping) and not _SIZES.isdisjoint(inner):
            return True
    return False


def _has(config: Mapping[str, Any], path: list[str]) -> bool:
    value: Any = config
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True
