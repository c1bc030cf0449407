"""Which cause a complaint is about: by what kinds of causes lead to such words, and by the names in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

from mappings.findings import Finding
from mappings.names import blank
from tracer.complaints.complaint import Complaint, Kind
from tracer.diagnose.cause import Cause
from tracer.diagnose.hypotheses.whereabouts import fused_parts
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


class Words:
    """What was said, and what of it is looked for in every cause: both may be many, and are not held one by one."""

    def __init__(self, *complaints: Complaint) -> None:
        said = [name for each in complaints for name in (*each.names, *each.files, *each.fields)]
        self.said = frozenset(said)
        self._ends = frozenset(map(_end, said))
        self.modules = frozenset(word for each in complaints for name in each.names for word in _modules(name))
        self.layered = any(blank(name)[1] for each in complaints for name in each.names)

    def name(self, cause: Cause) -> bool:
        """Whether they name what the cause is about."""
        if not self.said:
            return False
        known = set(_subjects(cause))
        return not (self.said.isdisjoint(known) and self._ends.isdisjoint(map(_end, known)))


def answer(cause: Cause, complaint: Complaint, words: Words | None = None) -> Answer:
    """Whether the cause is what was complained of; who asks of many causes has the words of the complaint already."""
    words = words or Words(complaint)
    if complaint in cause.answers:
        return Answer.SURE
    if complaint.kind == "other":
        return Answer.NAMED if _compares(complaint, cause) else Answer.NO
    family = cause.finding.code.partition(".")[0]
    explained = {finding.code.partition(".")[0] for finding in cause.explains}
    wanted = FAMILIES[complaint.kind]
    if family not in wanted and not explained & set(wanted):
        return Answer.NAMED if _is_absent(cause, words) else Answer.NO
    if words.name(cause):
        return Answer.NAMED
    return Answer.NO if _is_of_something_else(cause, complaint, words) else Answer.KIND


def _compares(complaint: Complaint, cause: Cause) -> bool:
    """Whether words that nobody knows have both numbers of a field of config.json that is wrong, and its name."""
    said = cause.finding.evidence
    both = [str(said.get(side)) for side in ("found", "tensors")]
    words = re.findall(r"[a-z]+|\d+", complaint.text[:2_000])
    field = str(said.get("field", "")).removeprefix("num_").removesuffix("_size").split("_")
    return cause.finding.code == "config.conflict" and {*both, *field} <= set(words)


def _is_absent(cause: Cause, words: Words) -> bool:
    """Whether the very tensor that the words name is in a file that is not here."""
    held = cause.finding.evidence.get("tensors", ()) if cause.finding.code == "index.missing-file" else ()
    return isinstance(held, list | tuple) and not words.said.isdisjoint(held)


_OF_NAMES: frozenset[Kind] = frozenset({"no-parameter", "unexpected", "no-tensor"})
_NARROW = ("config", "vocab", "index", "shards", "experts", "layers", "param", "tie", "value", "shape")
"""Families of causes that are about some tensors, of which a name is one or is not."""


def _is_of_something_else(cause: Cause, complaint: Complaint, words: Words) -> bool:
    """Whether the words name tensors, and none of the cause's has as much as a module in common with them."""
    if complaint.kind not in _OF_NAMES or not complaint.names or cause.finding.code == "config.missing-field":
        return False
    if cause.finding.code.partition(".")[0] not in _NARROW:
        return False
    if words.layered and _counts_layers(cause):
        return False
    return words.modules.isdisjoint(word for subject in _subjects(cause) for word in _modules(subject))


def _counts_layers(cause: Cause) -> bool:
    """Then a name in a layer is enough."""
    finding = cause.finding
    field = str(finding.evidence.get("field", finding.subject))
    return finding.code.startswith("layers.") or "layer" in field


_ANYWHERE = frozenset({"weight", "bias", "model", "layers", "blk", "self_attn", "mlp", ""})


def _modules(name: str) -> Iterator[str]:
    """What of a name tells one module from another; of a fused one, its parts."""
    for segment in re.split(r"[^\w]+", name):
        if segment not in _ANYWHERE and not segment.isdigit():
            yield segment
            yield from fused_parts().get(segment, ())


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
