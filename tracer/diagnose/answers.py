"""Which cause a complaint is about: by what kinds of causes lead to such words, and by the names in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

from mappings.findings import Finding
from mappings.names import blank
from tracer.complaints.complaint import Complaint, Kind
from tracer.diagnose.cause import Cause
from tracer.repair.changes import Cut, Drop, Join, Rename, Transform


class Answer(IntEnum):
    """How surely a cause answers a complaint."""

    NO = 0
    KIND = 1
    """Such causes lead to such words."""
    NAMED = 2
    """And the words name what the cause is about."""
    SURE = 3
    """The hypothesis was made from these words."""


_STRANGE = ("name", "tensor", "fused", "experts", "layers", "quant", "adapter", "trainer", "shards", "arch", "tie",
            "param")  # fmt: skip
_ABSENT = ("param", "index", "shards", "layers", "experts", "name", "fused", "tie", "arch", "file", "header", "trainer",
           "quant", "adapter")  # fmt: skip
FAMILIES: Mapping[Kind, tuple[str, ...]] = {
    "no-parameter": (*_STRANGE, "config"), "unexpected": (*_STRANGE, "config"), "no-tensor": (*_ABSENT, "config"),
    "shape": ("shape", "config", "vocab", "tp", "quant", "value", "fused", "trainer", "experts", "arch", "layout"),
    "divisible": ("tp", "quant", "config"), "header": ("file", "header"), "pickle": ("pickle", "file"),
    "no-file": ("index", "shards", "file", "config", "adapter"), "no-field": ("config", "arch", "adapter"),
    "no-architecture": ("arch", "config", "adapter"), "quantisation": ("quant", "config"),
    "dtype": ("header", "quant", "config", "value"), "attribute": ("quant", "config", "fused", "tensor", "name"),
    "duplicate": ("shards", "header", "index"), "adapter": ("adapter", "name", "tensor"),
    "not-finite": ("value", "quant", "config", "file"),
    "garbage": ("value", "name", "param", "tie", "index", "shards", "layers", "experts", "config", "quant", "arch",
                "file", "audit"),
    "other": (),
}  # fmt: skip
"""Kind of complaint -> families of codes (what precedes the dot) that lead to it."""
_SHARED = 2
"""Dot-segments at the end that two names have in common if one module is meant: `q_proj.weight`."""


def answer(cause: Cause, complaint: Complaint) -> Answer:
    """Whether the cause is what was complained of."""
    if complaint in cause.answers:
        return Answer.SURE
    family = cause.finding.code.partition(".")[0]
    explained = {finding.code.partition(".")[0] for finding in cause.explains}
    wanted = FAMILIES[complaint.kind]
    if family not in wanted and not explained & set(wanted):
        return Answer.NO
    return Answer.NAMED if _is_named(cause, complaint) else Answer.KIND


def _is_named(cause: Cause, complaint: Complaint) -> bool:
    said = [*complaint.names, *complaint.files, *complaint.fields]
    if not said:
        return False
    known = set(_subjects(cause))
    ends = {_end(name) for name in known}
    return any(name in known or _end(name) in ends for name in said)


def _end(name: str) -> tuple[str, ...]:
    return tuple(blank(name)[0].split(".")[-_SHARED:])


def _subjects(cause: Cause) -> Iterator[str]:
    """Everything that a cause has to do with, as spelt in names."""
    for finding in (cause.finding, *cause.explains):
        yield finding.subject
        yield from _texts(finding)
    for change in cause.changes:
        if isinstance(change, Rename):
            yield from _some(change.names)
            yield from _some(change.names.values())
        elif isinstance(change, Drop | Transform | Join):
            yield from _some(change.names)
        elif isinstance(change, Cut):
            yield change.name
            yield from _some(change.parts)


def _some(names: Iterable[str]) -> Iterator[str]:
    """One of each kind is enough."""
    return iter(dict.fromkeys(blank(name)[0] for name in names))


def _texts(finding: Finding) -> Iterator[str]:
    for value in finding.evidence.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            yield from (each for each in value[:1000] if isinstance(each, str))
