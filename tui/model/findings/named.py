"""What a finding is about: names that its subject and evidence spell, folded as the reports fold them.

`model.layers.{0..39 except 7}.mlp.up_proj.weight`, `model.layers.{layer}.…` of a row, `model.layers.4.**`, or a
module without its leaf.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mappings.findings import Finding, Severity
from mappings.names import HOLE, Indices, blank, is_index, spans
from tracer.infer.parallel.rows import field_of
from tui.model.config.fields import config_of, dotted
from tui.model.line import Target
from tui.model.subject import Subject, Told

ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "info": 2}
_BELOW = ".**"
_OF_PARAMS = ("param.unfilled", "experts.missing", "audit.unwritten", "audit.overwritten", "audit.wrong-slice")
"""Codes whose subject is a parameter, even where a tensor has the same name."""
_OF_CLASSES = ("arch.unknown", "arch.mismatch")
_OF_FILES = ("file", "header", "index", "shards", "pickle")
"""Areas of codes whose subject is a file, be it missing."""
_NAMING = ("tensors", "names", "templates", "modules", "strange")
"""Fields of evidence that name what is there."""
_MOST_POSITIONS = 100_000


@dataclass(frozen=True)
class Spelled:
    """A name in which whole segments may stand for several positions."""

    template: str
    allowed: tuple[frozenset[int] | None, ...]
    """Of every blank its positions, None where it may have any."""
    below: bool = False
    """Whether it means all names that begin so."""

    def fits(self, indices: Indices) -> bool:
        """Whether a name of this template is meant."""
        return all(allowed is None or index in allowed for index, allowed in zip(indices, self.allowed, strict=False))


def spelled(text: str) -> Spelled:
    """What a finding spells."""
    below = text.endswith(_BELOW)
    segments, allowed = [], []
    for segment in _segments(text.removesuffix(_BELOW)):
        braced = segment.startswith("{") and segment.endswith("}")
        if braced or is_index(segment):
            allowed.append(_positions(segment[1:-1]) if braced else frozenset([int(segment)]))
        segments.append(HOLE if braced or is_index(segment) else segment)
    return Spelled(".".join(segments), tuple(allowed), below)


def _segments(text: str) -> list[str]:
    """Ranges within braces have dots of their own."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "." and depth <= 0:
            found.append("")
        else:
            found[-1] += letter
    return found


def _positions(told: str) -> frozenset[int] | None:
    """`0..39 except 7, 19`; None for an axis, which has any."""
    inside, _, without = told.partition(" except ")
    try:
        gaps = spans(without, _MOST_POSITIONS) if without else []
        return frozenset(spans(inside, _MOST_POSITIONS)).difference(gaps)
    except ValueError:
        return None


@dataclass
class Names:
    """The names of a checkpoint, found by what spells them."""

    names: Collection[str]
    _found: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def _by_template(self) -> dict[str, list[tuple[Indices, str]]]:
        found: dict[str, list[tuple[Indices, str]]] = {}
        for name in self.names:
            template, indices = blank(name)
            found.setdefault(template, []).append((indices, name))
        return found

    def spelled(self, text: str) -> list[str]:
        """All names that a text means: just these, or else those of the module that it names."""
        if text in self.names:
            return [text]
        if text not in self._found:
            wanted = spelled(text)
            exact = [] if wanted.below else self._exact(wanted)
            self._found[text] = exact or self._below(wanted)
        return self._found[text]

    def _exact(self, wanted: Spelled) -> list[str]:
        return [name for indices, name in self._by_template.get(wanted.template, ()) if wanted.fits(indices)]

    def _below(self, wanted: Spelled) -> list[str]:
        starts = (f"{wanted.template}.", f"{wanted.template}_")
        return [
            name for template, same in self._by_template.items() if template.startswith(starts)
            for indices, name in same if wanted.fits(indices)
        ]  # fmt: skip


def named(finding: Finding) -> Iterator[str]:
    """What its subject and its evidence spell; whether any name is meant, `Names` knows."""
    yield finding.subject
    for key in _NAMING:
        told = finding.evidence.get(key)
        if isinstance(told, str):
            yield told
        elif isinstance(told, list | tuple):
            yield from (each for each in told if isinstance(each, str))


def means(text: str, name: str) -> bool:
    """Whether a text that a finding spells means this tensor, or the module that it belongs to."""
    if text == name:
        return True
    wanted, (template, indices) = spelled(text), blank(name)
    below = template.startswith((f"{wanted.template}.", f"{wanted.template}_"))
    return (below or (template == wanted.template and not wanted.below)) and wanted.fits(indices)


def marks(subject: Subject) -> Mapping[str, Severity]:
    """The tensors that a finding names, each with the worst that is said of it."""
    found: dict[str, Severity] = {}
    if not subject.findings:
        return found
    names, files = Names(subject.positions), {info.file for info in subject.tensors}
    for told in sorted(subject.findings, key=lambda told: ORDER[told.finding.severity]):
        for text in dict.fromkeys(named(told.finding)):
            # Most checkpoints have a remark about a file and nothing else: no name is looked up for it.
            for name in names.spelled(text) if text not in files else ():
                found.setdefault(name, told.finding.severity)
    return found


# --- where it leads ---


def subject_target(subject: Subject, told: Told) -> Target | None:
    """The thing that a finding is about, if it can be shown: of several tensors the first."""
    finding = told.finding
    if finding.code in _OF_PARAMS and (param := _param(subject, finding.subject)):
        return param
    ways = (_tensor, _param, _row, _file, _field)
    found = next((target for way in ways if (target := way(subject, finding.subject))), None)
    return found or _by_code(finding) or _by_evidence(subject, finding)


def leads_to(subject: Subject, key: str, value: object) -> Target | None:
    """Where one entry of a finding's evidence leads."""
    if not isinstance(value, str):
        return None
    if key == "row":
        return _row(subject, value)
    if key == "field":
        return _field(subject, value)
    if key in (*_NAMING, "to", "tensor"):
        return _tensor(subject, value)
    return _file(subject, value) if key in ("file", "files", "missing", "index", "read", "ignored") else None


def _by_code(finding: Finding) -> Target | None:
    """Of what is not there, or cannot be read, the code says what it would be."""
    area, _, what = finding.code.partition(".")
    if area in _OF_FILES and "." in finding.subject and what != "unlisted-tensor":
        return Target("file", finding.subject)
    return Target("field", finding.subject) if finding.code == "config.missing-field" else None


def _by_evidence(subject: Subject, finding: Finding) -> Target | None:
    if finding.code in _OF_CLASSES and not finding.subject.startswith("general."):
        return Target("field", "architectures")
    if isinstance(name := finding.evidence.get("field"), str):
        return Target("field", name)
    if finding.code == "layers.missing" and subject.prepared:
        return Target("field", subject.prepared.plan.binding.arch.layers)
    return next((target for text in named(finding) if (target := _tensor(subject, text))), None)


def _tensor(subject: Subject, text: str) -> Target | None:
    if text in subject.positions:
        return Target("tensor", text)
    wanted = spelled(text)
    if not text or (subject.checkpoint and subject.checkpoint.files.has(text)):
        return None
    exact = next((n for n in subject.positions if _is(n, wanted)), None)
    starts = (f"{wanted.template}.", f"{wanted.template}_")
    name = exact or next((n for n in subject.positions if _starts(n, starts, wanted)), None)
    return Target("tensor", name) if name is not None else None


def _is(name: str, wanted: Spelled) -> bool:
    template, indices = blank(name)
    return not wanted.below and template == wanted.template and wanted.fits(indices)


def _starts(name: str, starts: tuple[str, str], wanted: Spelled) -> bool:
    template, indices = blank(name)
    return template.startswith(starts) and wanted.fits(indices)


def _param(subject: Subject, text: str) -> Target | None:
    wanted = spelled(text)
    for leaf in subject.prepared.plan.binding.leaves if subject.prepared else ():
        if leaf.pattern.template == wanted.template:
            fit = (i for i in leaf.instances() if wanted.fits(blank(leaf.pattern.name(i))[1]))
            if (indices := next(fit, None)) is not None:
                return Target("param", leaf.pattern.name(indices))
    return None


def _row(subject: Subject, text: str) -> Target | None:
    rows = subject.prepared.plan.binding.rows if subject.prepared else ()
    return next((Target("row", row.id) for row in rows if text in (row.id, row.pattern.text)), None)


def _file(subject: Subject, text: str) -> Target | None:
    if text == "config.json":
        return Target("page", "config")
    here = subject.checkpoint is not None and text in subject.checkpoint.files.names()
    return Target("file", text) if here or any(info.file == text for info in subject.tensors) else None


def _field(subject: Subject, text: str) -> Target | None:
    """A field, as config.json has it or as the rows call it; an axis leads to the field that gives its size."""
    if name := dotted(config_of(subject), text):
        return Target("field", name)
    if subject.prepared:
        binding = subject.prepared.plan.binding
        if text in binding.arch.axes and (own := field_of(binding, text)) != text:
            return Target("field", own.split(maxsplit=1)[0])
    return None
