"""The head of a page: the verdict, what was loaded and how, and how each check ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mappings.findings import Finding, Severity
from tracer.prepare import Prepared
from tracer.report import verdict
from tracer.report.findings import CALLED
from tracer.report.html.view import Checked, Chip, Fact, Found, State
from tracer.report.words import plural
from tracer.session import Result
from tracer.verified import UNSEEN, VALUES

_STATES: dict[str, State] = {"ok": "ok", "failed": "finding", "not-checked": "not-checked"}


def chips(
    findings: Sequence[Finding], checks: Sequence[Checked], fields: Sequence[Found] = (), absent: bool = False
) -> Iterator[Chip]:
    """The verdict: what is wrong, with what was traced and with `fields`; how much was looked at, how much was not.

    Where no weights are here, `absent`, that stands before all that could be said of the rest.
    """
    for severity, noun in CALLED.items():
        if count := sum(finding.severity == severity for finding in findings):
            yield Chip(severity, plural(count, noun))
    if conflicts := [found.severity for found in fields if found.severity != "info"]:
        worst: Severity = "error" if "error" in conflicts else "warning"
        yield Chip(worst, f"{plural(len(conflicts), 'conflict')} in the config")
    if absent:
        yield Chip("not-checked", "no weights are here")
    ok, undone = (sum(check.state == state for check in checks) for state in ("ok", "not-checked"))
    if not conflicts and all(finding.severity == "info" for finding in findings):
        yield Chip("not-checked", "nothing wrong in what was checked") if undone else Chip("ok", "nothing wrong found")
    if ok:
        yield Chip("ok", f"{plural(ok, 'check')} ok")
    if undone:
        yield Chip("not-checked", f"{undone} not checked")


def absent(prepared: Prepared) -> bool:
    """Whether a checkpoint was named of which no tensor is in a file."""
    return prepared.checkpoint is not None and all(info.file is None for info in prepared.infos)


def facts(result: Result) -> Iterator[Fact]:
    """What was loaded and how."""
    prepared = result.prepared
    request, run = prepared.request, prepared.run
    yield Fact("model", prepared.title + ("" if request.model else " (embedded geometry)"))
    yield Fact("architecture", run.architecture + (f" ({run.dialect} dialect)" if run.dialect else ""))
    for name, why in prepared.lost.items():
        yield Fact("not", f"{name}: it {why}")
    only = f", rank {request.rank} only" if request.rank is not None else ""
    yield Fact("tensor parallel", f"{request.tp}{only}")
    yield Fact("load format", request.load_format)
    told = ", as the rows have them" if any(info.file is None for info in prepared.infos) else ""
    yield Fact("tensors", verdict.counts(prepared) + told)
    yield Fact("config", prepared.configured.source)
    if prepared.fake or request.load_format == "dummy":
        yield Fact("fake", "; ".join(prepared.fake or ["the bytes"]))
    yield Fact("ran on", result.where) if prepared.run.observed else Fact("not run", result.where)
    if result.why_not:
        yield Fact("cannot generate", f"{result.why_not}; a skeleton of its parameters was loaded")
    for line in verdict.by_header(prepared):
        yield Fact("optional", line)
    if prepared.weighed:
        yield Fact("weighed", prepared.weighed)


def checks(result: Result) -> Iterator[Checked]:
    """As the trace has them; of the audit what it counted."""
    for check in result.store.checks():
        reason = _audited(result) if check.name == "audit" else check.reason
        yield Checked(check.name, _STATES[check.state], reason or "")
    if not result.verified:
        yield Checked(VALUES, "not-checked", UNSEEN)


def _audited(result: Result) -> str:
    if result.audit is None or result.failure:
        return verdict.audit_line(result).partition(": ")[2]
    return verdict.audit_summary(result.audit).partition(": ")[2]
