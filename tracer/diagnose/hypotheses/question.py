"""One complaint beside the checkpoint as it is on disk: what every explanation of it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mappings.findings import Finding, Severity
from mappings.names import collapse
from tracer.complaints.complaint import Complaint
from tracer.diagnose.case import Case
from tracer.diagnose.hypotheses.modules import Module, modules_of, split
from tracer.diagnose.hypotheses.whereabouts import Place, places
from tracer.diagnose.hypothesis import Assumption, Hypothesis
from tracer.diagnose.state import State
from tracer.infer.canonical import text_config
from tracer.repair.changes import Change


@dataclass(frozen=True)
class Question:
    """What is complained of, and where in the checkpoint it is."""

    case: Case
    complaint: Complaint

    @property
    def state(self) -> State:
        return self.case.original

    @property
    def names(self) -> Sequence[str]:
        return self.state.names

    @cached_property
    def places(self) -> list[Place]:
        return places(self.complaint.names, self.names)

    @property
    def place(self) -> Place | None:
        """Of the first name that can be meant."""
        return self.places[0] if self.places else None

    @property
    def said(self) -> str:
        """The first name; empty where there is none."""
        return self.complaint.names[0] if self.complaint.names else ""

    @property
    def leaf(self) -> str:
        return split(self.said)[1]

    @cached_property
    def modules(self) -> Mapping[str, Module]:
        return modules_of(self.state.tensors)

    def module_of(self, name: str) -> Module:
        """Of this tensor; without leaves where only an index knows it, and its file is not here."""
        module = split(name)[0]
        return self.modules.get(module, Module(module, {}))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The part of config.json that describes the decoder."""
        return text_config(self.state.config)

    def answer(
        self, code: str, subject: str, message: str, evidence: Mapping[str, Any] | None = None, fix: str | None = None,
        changes: tuple[Change, ...] = (), assume: Assumption | None = None, severity: Severity = "error",
    ) -> Hypothesis:  # fmt: skip
        """A hypothesis that was read off these words."""
        finding = Finding(code, severity, subject, message, evidence or {}, fix)
        return Hypothesis(finding, changes, assume, evident=True, answers=(self.complaint,))


def folded(names: Iterable[str], most: int = 3) -> str:
    """Templates in words, a few of them."""
    told = [template for template, _ in collapse(names)]
    more = f" and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
