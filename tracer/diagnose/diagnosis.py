"""From what was said and what is there to causes, the most causal first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mappings.findings import Finding
from tracer.checks import Check
from tracer.complaints.complaint import Complaint, Told
from tracer.diagnose.case import Case
from tracer.diagnose.cause import Cause
from tracer.diagnose.hypotheses import PROPOSERS
from tracer.diagnose.ranking import ranked
from tracer.diagnose.search import search
from tracer.diagnose.state import State
from tracer.diagnose.weight import same
from tracer.doctor.admission import admit
from tracer.doctor.examination import examine_patient
from tracer.prepare import Request

_OF_FILES = ("file", "header", "pickle", "index", "shards", "adapter", "value")
"""Families of codes that no edit of names or config mends."""


@dataclass
class Diagnosis:
    """What came of it."""

    title: str
    causes: list[Cause]
    """Everything that is wrong, each once, the verdict first; also what explains nothing but itself."""
    remarks: list[Finding] = field(default_factory=list)
    """Findings of severity info."""
    checks: list[Check] = field(default_factory=list)
    """What was looked at and what was not."""
    told: Told = Told()  # noqa: RUF009
    original: State | None = None
    mended: State | None = None
    """The checkpoint as it would be with every cause mended that could be tried."""

    @property
    def failed(self) -> bool:
        """Whether anything of severity error was found."""
        return any(cause.finding.severity == "error" for cause in self.causes)

    @property
    def unanswered(self) -> list[Complaint]:
        """What was complained of and follows from nothing that was found."""
        answered = {complaint for cause in self.causes for complaint in cause.answers}
        return [complaint for complaint in self.told.complaints if complaint not in answered]


def diagnose(model: str, told: Told, tp: int = 1, revision: str | None = None) -> Diagnosis:
    """Headers only. Raises InputError where there is nothing to examine, and UsageError."""
    patient = admit(model, revision, tp)
    examined = examine_patient(patient)
    found = [finding for check in examined.checks for finding in check.findings]
    kept = [finding for finding in found if finding.code.partition(".")[0] in _OF_FILES]
    request = Request(model, tp, plan_only=True, revision=revision)
    state = State(request, patient, tuple(kept), tuple(found))
    causes, case = search(Case(state, state, told, examined.checks), PROPOSERS)
    everything = ranked([*causes, *_alone(causes, state, case.state)], told.complaints)
    remarks = [finding for finding in found if finding.severity == "info"]
    remarks = [each for each in remarks if not any(same(each, cause.finding) for cause in everything)]
    return Diagnosis(examined.title, everything, remarks, examined.checks, told, state, case.state)


def _alone(causes: Sequence[Cause], before: State, after: State) -> list[Cause]:
    """Symptoms that no cause explains: those of the beginning, and those that came to light behind a cause."""
    told = [finding for cause in causes for finding in (cause.finding, *cause.explains)]
    found: dict[tuple[str, str], Finding] = {}
    left = {(finding.code, finding.subject) for finding in after.symptoms}
    hidden = [finding for finding in after.symptoms if not any(same(finding, each) for each in before.symptoms)]
    standing = [finding for finding in before.symptoms if (finding.code, finding.subject) in left]
    for finding in (*standing, *hidden):
        if not any(same(finding, each) for each in told):
            found.setdefault((finding.code, finding.subject), finding)
    return [Cause(finding) for finding in found.values()]
