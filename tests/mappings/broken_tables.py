"""Tables of rows that are an architecture's own but for one change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mappings.bind import Binder, Binding
from mappings.rows import Architecture, Entry, Row
from tests.mappings.small import CONFIGS, architecture

LAYER = "model.layers.{layer}"


def broken(name: str, change: Callable[[list[Entry]], list[Entry]], tp: int = 2, **fields: Any) -> Binding:
    """A small config, bound with the changed rows of its architecture."""
    arch = architecture(CONFIGS[name].arch)
    changed: Architecture = replace(arch, entries=tuple(change(list(arch.entries))))
    return Binder(changed, {**CONFIGS[name].config, **fields}, tp).bind()


def without(word: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [e for e in entries if not (isinstance(e, Row) and e.name.endswith(word))]


def adding(*more: Entry) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*entries, *more]


def swapping(word: str, new: Row) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [*without(word)(entries), new]


def slot_of(name: str, word: str) -> Row:
    return next(row for row in architecture(CONFIGS[name].arch).rows if row.name.endswith(word))
