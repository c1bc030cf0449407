"""Tests that asked the statistics, and what the reference says of every tensor: the reference has the last word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tracer.meaning.against.whole import Compared
from tracer.meaning.meant import Meant
from tracer.repair.changes import Rename, Transform

_DECIDED = ("rope-order", "gate-up", "transposed", "norm-offset", "untrained")
"""Tests whose findings blame tensors for what they hold."""


def reconciled(ended: Sequence[Meant], compared: Compared) -> list[Meant]:
    """The same, without blame for tensors that are the reference's; and what only the reference shows."""
    if not compared.is_relative:
        return [*ended, *compared.ended(frozenset())]
    kept = [_kept(each, compared) for each in ended]
    explained = frozenset(name for each in kept for name in _touched(each))
    return [*compared.ended(explained), *kept]


def _kept(each: Meant, compared: Compared) -> Meant:
    if each.check.name not in _DECIDED or not each.check.findings:
        return each
    touched = set(_touched(each))
    moved = {place.name: place.where for place in compared.places if place.kind == "moved"}
    back = {old: new for change in each.changes if isinstance(change, Rename) for old, new in change.names.items()}
    if (
        touched
        and not touched & compared.sound
        and all(back.get(name) == moved[name] for name in touched & moved.keys())
    ):
        return each
    reason = "the statistics blame tensors that are the reference's: each is held against it instead"
    return Meant(replace(each.check, findings=(), unchecked=reason))


def _touched(each: Meant) -> Iterator[str]:
    for change in each.changes if each.check.name in _DECIDED else ():
        if isinstance(change, Rename | Transform):
            yield from change.names
