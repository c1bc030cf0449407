"""From what was said and what is there to causes, the most causal first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mappings.findings import Finding
from tracer.checks import Check
from tracer.collection import uncollected
from tracer.complaints.complaint import Complaint, Told
from tracer.diagnose.case import Case
from tracer.diagnose.cause import Cause
from tracer.diagnose.graver import graver
from tracer.diagnose.hypotheses import NEVER_EVIDENT, PROPOSERS
from tracer.diagnose.ranking import ranked
from tracer.diagnose.reading import Reading, read, settle
from tracer.diagnose.search import search
from tracer.diagnose.state import OF_INTACT, State, of_the_intact
from tracer.diagnose.weight import statement
from tracer.doctor.admission import Patient, admit
from tracer.doctor.examination import examine_patient
from tracer.prepare import Request
from tracer.repair.changes import Change
from tracer.report.words import plural

NO_WISHES = Reading()

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
    stages: list[tuple[Change, ...]] = field(default_factory=list)
    """What `--repair` does: the changes of each cause, in the order in which they were found; each names tensors as
    they are after those before it."""

    compared: bool = False
    """Whether there was a reference, beside which also what is plausible can be seen to be wrong."""

    @property
    def failed(self) -> bool:
        """Whether anything of severity error was found."""
        return any(cause.finding.severity == "error" for cause in self.causes)

    @property
    def unanswered(self) -> list[Complaint]:
        """What was complained of and follows from nothing that was found."""
        answered = {complaint for cause in self.causes for complaint in cause.answers}
        return [complaint for complaint in self.told.complaints if complaint not in answered]


@uncollected()
def diagnose(
    model: str, told: Told, tp: int = 1, revision: str | None = None, reading: Reading = NO_WISHES
) -> Diagnosis:  # fmt: skip
    """Headers first; values, a bounded sample of them, where these leave the question open.

    Raises InputError where there is nothing to examine, and UsageError.
    """
    patient = admit(model, revision, tp)
    return diagnose_patient(patient, Request(model, tp, plan_only=True, revision=revision), told, reading)


def diagnose_patient(patient: Patient, request: Request, told: Told, reading: Reading = NO_WISHES) -> Diagnosis:
    """The same of what was admitted before. Raises InputError where there is nothing to examine."""
    examined = examine_patient(patient)
    found = [finding for check in examined.checks for finding in check.findings]
    kept = [finding for finding in found if finding.code.partition(".")[0] in _OF_FILES]
    intact = of_the_intact(patient, request, kept, found)
    state = intact or State(request, patient, tuple(kept), tuple(found))
    searched = search(Case(state, state, told, examined.checks), PROPOSERS, NEVER_EVIDENT)
    after = searched.case.state
    causes = [*searched.causes, *_alone(searched.causes, state, after)]
    values = read(state, told, causes, examined.checks, reading)
    causes, settled = settle(causes, values)
    blank = [finding for finding in (*settled, *found) if finding.severity == "info"]
    causes, mere = graver(causes, blank, told.complaints)
    everything = ranked(causes, told.complaints)
    told_of = {statement(cause.finding) for cause in everything}
    idle = [cause.finding for cause in everything if _is_idle(cause)]
    everything = [cause for cause in everything if not _is_idle(cause)]
    open_, mere = ([each for each in of if statement(each) not in told_of] for of in (settled, mere))
    remarks = [*(each for each in open_ if each.severity != "info"), *idle, *mere]
    stages = [*searched.stages, *(cause.changes for cause in values.causes if cause.changes)]
    checks = [*_unheard(told), *_own(examined.checks, values.superseded), *_beside_damage(intact), *values.checks]
    return Diagnosis(examined.title, everything, remarks, checks, told, state, after, stages,
                     reading.against is not None)  # fmt: skip


def _is_idle(cause: Cause) -> bool:
    """Whether it is a remark, and nobody has complained of it."""
    return cause.finding.severity == "info" and not cause.answers


def _unheard(told: Told) -> list[Check]:
    """Words of which none was understood, or not all were read: whoever pasted them should not take the verdict for an
    answer to them.
    """  # fmt: skip
    if told.passed_over:
        reason = f"not all of what was said was read: without {', and '.join(told.passed_over)}"
        return [Check("complaint", unchecked=reason, limit="not all of what was said was read")]
    if not told.lines or told.complaints:
        return []
    reason = f"no sentence of an engine that is known stands in the {plural(told.lines, 'line')} that was said"
    return [Check("complaint", unchecked=reason, limit="no complaint was recognised in what was said")]


def _beside_damage(intact: State | None) -> list[Check]:
    """That names and shapes of what can be read were looked at; of the rest nothing is known."""
    if intact is None or intact.plan is None:
        return []
    told = f"{len(intact.tensors):,} tensors that can be read against the rows of {intact.plan.binding.arch.name}"
    found = tuple(each for each in intact.symptoms if each.code in OF_INTACT)
    return [Check("names.readable", told, found)]


def _own(checks: Sequence[Check], superseded: frozenset[str]) -> list[Check]:
    """The doctor's, without what it says of its own option, and what was looked at more closely since."""
    return [
        replace(check, unchecked=check.unchecked.replace("--values reads", "`tracer doctor --values` reads"))
        for check in checks if check.name != "values" and (check.findings or check.name not in superseded)
    ]  # fmt: skip


def _alone(causes: Sequence[Cause], before: State, after: State) -> list[Cause]:
    """Symptoms that no cause explains: those of the beginning, and those that came to light behind a cause.

    Of two that say the same of one file the graver one: a second copy that is damaged may be unsafe too.
    """
    told = {statement(finding) for cause in causes for finding in (cause.finding, *cause.explains)}
    had, left = set(map(statement, before.symptoms)), set(map(statement, after.symptoms))
    hidden = [finding for finding in after.symptoms if statement(finding) not in had]
    standing = [finding for finding in before.symptoms if statement(finding) in left]
    found: dict[tuple[str, str], Finding] = {}
    for finding in sorted((*standing, *hidden), key=lambda each: each.severity != "error"):
        if statement(finding) not in told:
            found.setdefault(statement(finding), finding)
    return [Cause(finding) for finding in found.values()]
