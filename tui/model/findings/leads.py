"""Where a finding leads: to the tensor, the parameter, the row, the file or the field that it is about."""

from __future__ import annotations

from functools import cached_property

from mappings.findings import Finding
from mappings.names import blank
from tracer.infer.parallel.rows import field_of
from tui.model.config.fields import config_of, dotted
from tui.model.findings.index import FILES
from tui.model.findings.named import NAMING, named, spelled
from tui.model.line import Target
from tui.model.subject import Subject, Told

_OF_PARAMS = ("param.unfilled", "experts.missing", "audit.unwritten", "audit.overwritten", "audit.wrong-slice")
"""Codes whose subject is a parameter, even where a tensor has the same name."""
_OF_CLASSES = ("arch.unknown", "arch.mismatch")
_OF_FILES = ("file", "header", "index", "shards", "pickle")
"""Areas of codes whose subject is a file, be it missing."""


def subject_target(subject: Subject, told: Told) -> Target | None:
    """The thing that a finding is about, if it can be shown: of several tensors the first."""
    return subject.index.leads.of(told.finding)


class Leads:
    """The things of one subject, found by what findings call them; `Index.leads` are those of all its findings."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.prepared = subject.prepared

    def of(self, finding: Finding) -> Target | None:
        """What it is about."""
        if finding.code in _OF_PARAMS and (param := self._param(finding.subject)):
            return param
        ways = (self._tensor, self._param, self._row, self._file, self._field)
        found = next((target for way in ways if (target := way(finding.subject))), None)
        return found or _by_code(finding) or self._by_evidence(finding)

    def entry(self, key: str, value: object) -> Target | None:
        """Where one entry of a finding's evidence leads."""
        if not isinstance(value, str):
            return None
        if key == "row":
            return self._row(value)
        if key == "field":
            return self._field(value)
        if key in (*NAMING, "to", "tensor"):
            return self._tensor(value)
        return self._file(value) if key in FILES else None

    def _by_evidence(self, finding: Finding) -> Target | None:
        if finding.code in _OF_CLASSES and not finding.subject.startswith("general."):
            return Target("field", "architectures")
        if isinstance(name := finding.evidence.get("field"), str):
            return Target("field", name)
        if finding.code == "layers.missing" and self.prepared:
            return Target("field", self.prepared.plan.binding.arch.layers)
        tensor = next((target for text in named(finding) if (target := self._tensor(text))), None)
        return tensor or self._module(finding.subject) or self._file_said(finding)

    def _module(self, text: str) -> Target | None:
        """The first parameter of a module that fuses what the checkpoint has apart."""
        start = f"{spelled(text).template}."
        for leaf in self.prepared.plan.binding.leaves if self.prepared else ():
            if leaf.pattern.template.startswith(start):
                wanted = f"{text}.{leaf.pattern.template.removeprefix(start)}"
                if (param := self._param(wanted)) is not None:
                    return param
        return None

    def _file_said(self, finding: Finding) -> Target | None:
        """The file in whose header a name stands that no tensor of the model has, or the first of a second copy."""
        for key in FILES:
            told = finding.evidence.get(key)
            for text in (told,) if isinstance(told, str) else told if isinstance(told, list | tuple) else ():
                if isinstance(text, str) and text in self._files:
                    return Target("file", text)
        return None

    def prepare(self) -> None:
        """All that is looked up, so that no key has to wait."""
        self.subject.names.prepare()
        _ = self._files, self._rows

    @cached_property
    def _files(self) -> frozenset[str]:
        """Those that are there, and those that tensors are in."""
        checkpoint = self.subject.checkpoint
        here = checkpoint.files.names() if checkpoint is not None else ()
        return frozenset([*here, *self.subject.held.files])

    @cached_property
    def _rows(self) -> dict[str, str]:
        """Id and pattern -> id; the first of a pattern."""
        rows = self.prepared.plan.binding.rows if self.prepared else ()
        found = {row.id: row.id for row in rows}
        for row in rows:
            found.setdefault(row.pattern.text, row.id)
        return found

    def _tensor(self, text: str) -> Target | None:
        positions, checkpoint = self.subject.positions, self.subject.checkpoint
        if text in positions:
            return Target("tensor", text)
        if not text or (checkpoint is not None and checkpoint.files.has(text)):
            return None
        first = min(self.subject.names.spelled(text), key=positions.__getitem__, default=None)
        return Target("tensor", first) if first is not None else None

    def _param(self, text: str) -> Target | None:
        wanted = spelled(text)
        for leaf in self.prepared.plan.binding.leaves if self.prepared else ():
            if leaf.pattern.template == wanted.template:
                fit = (i for i in leaf.instances() if wanted.fits(blank(leaf.pattern.name(i))[1]))
                if (indices := next(fit, None)) is not None:
                    return Target("param", leaf.pattern.name(indices))
        return None

    def _row(self, text: str) -> Target | None:
        return Target("row", self._rows[text]) if text in self._rows else None

    def _file(self, text: str) -> Target | None:
        if text == "config.json":
            return Target("page", "config")
        return Target("file", text) if text in self._files else None

    def _field(self, text: str) -> Target | None:
        """As config.json has it or as the rows call it; an axis leads to the field that gives its size."""
        if name := dotted(config_of(self.subject), text):
            return Target("field", name)
        if self.prepared:
            binding = self.prepared.plan.binding
            if text in binding.arch.axes and (own := field_of(binding, text)) != text:
                return Target("field", own.split(maxsplit=1)[0])
        return None


def _by_code(finding: Finding) -> Target | None:
    """Of what is not there, or cannot be read, the code says what it would be."""
    area, _, what = finding.code.partition(".")
    if area in _OF_FILES and "." in finding.subject and what != "unlisted-tensor":
        return Target("file", finding.subject)
    return Target("field", finding.subject) if finding.code == "config.missing-field" else None
