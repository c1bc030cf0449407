"""What a diagnosis came to: the verdict first, what follows from it below, then the rest, and what was not checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mappings.findings import Finding
from tracer.checks import Check, State
from tracer.complaints.of_surroundings import matter
from tracer.diagnose.weight import weight_of
from tracer.events import finding_to_dict, finite
from tracer.report.verdict import MARKS, MOST_OF_A_CODE
from tracer.report.words import plural

if TYPE_CHECKING:
    from tracer.complaints.complaint import Complaint
    from tracer.diagnose.cause import Cause
    from tracer.diagnose.diagnosis import Diagnosis

_MOST_SYMPTOMS = 6
"""Of one cause that are spelled out; --json has all."""
_MOST_REMARKS = 12
_UNSEEN = (
    "not seen by any check: what is wrong and plausible (rope_theta, epsilon, activation, tensors of another model of"
    " this shape); --against DIR holds them against a checkpoint that is known to be good"
)
_MOST_NAMES = 8
"""Of a change, in a record: a rename of 90,000 tensors is said by its edit."""


def lines(found: Diagnosis) -> Iterator[str]:
    """For a terminal."""
    if not found.causes:
        yield _nothing(found)
    yield from _causes(found.causes)
    for complaint in found.unanswered:
        about = matter(complaint)
        yield f"{f'not of the checkpoint: {about}' if about else 'not explained'}: {_said(complaint)}"
    for finding in found.remarks[:_MOST_REMARKS]:
        yield f"info  {finding.code}  {finding.message}"
    if len(found.remarks) > _MOST_REMARKS:
        yield f"...  {plural(len(found.remarks) - _MOST_REMARKS, 'more remark')} (--json has all)"
    for check in found.checks:
        if check.state == "ok":
            yield f"ok  {check.name}  {check.told}".rstrip()
    reasons: dict[str, list[str]] = {}
    for check in found.checks:
        if check.unchecked:
            reasons.setdefault(check.unchecked, []).append(check.name)
    yield from (f"not checked: {', '.join(names)} ({reason})" for reason, names in reasons.items())
    if not found.causes and not found.compared:
        yield _UNSEEN


def _causes(causes: Sequence[Cause]) -> Iterator[str]:
    """As findings are told: of one code a few, and how many there are."""
    seen: Counter[str] = Counter()
    for number, cause in enumerate(causes):
        seen[cause.finding.code] += 1
        if seen[cause.finding.code] <= MOST_OF_A_CODE:
            yield from _cause(cause, number == 0)
    for code, count in seen.items():
        if count > MOST_OF_A_CODE:
            yield f"...  {code}  {count - MOST_OF_A_CODE} more (--json has all)"


def _nothing(found: Diagnosis) -> str:
    """One line; whoever reads no more should know what was not here, and what it could not be held against."""
    ok = sum(check.state == "ok" for check in found.checks)
    undone = sum(bool(check.unchecked) for check in found.checks)
    absent = next((f"{check.absent}; " for check in found.checks if check.absent), "")
    limits = list(dict.fromkeys(check.limit for check in found.checks if check.limit))
    if absent and not limits:
        limits = [f"{', '.join(check.name for check in found.checks if check.state == 'ok') or 'no check'} alone"]
    limited = f" with what could be checked ({'; '.join(limits)})" if limits else ""
    return f"{absent}nothing is wrong{limited}{_elsewhere(found)}; {plural(ok, 'check')} ok, {undone} not checked"


def _elsewhere(found: Diagnosis) -> str:
    """What was complained of, where nothing of it was found; the rest only where no line is of a checkpoint at all."""
    matters = list(dict.fromkeys(map(matter, found.unanswered)))
    if matters and all(matters):
        return f"; this is not about the checkpoint: {' and '.join(matters)}"
    return "; what was complained of does not follow from the checkpoint" if matters else ""


def _cause(cause: Cause, verdict: bool) -> Iterator[str]:
    finding = cause.finding
    yield f"{MARKS[finding.severity]}  {finding.code}  {finding.message}"
    if finding.fix and finding.severity != "info":
        yield f"      fix: {finding.fix}"
    for complaint in cause.answers[:2]:
        yield f"      it is what was complained of: {_said(complaint)}"
    if cause.explains:
        told = ", ".join(f"{count:,} {code}" for code, count in _counts(cause).items())
        yield f"      explained by it: {told}"
        for each in cause.explains[:_MOST_SYMPTOMS]:
            yield f"        {each.code}  {each.message}"
        if len(cause.explains) > _MOST_SYMPTOMS:
            yield f"        ... {len(cause.explains) - _MOST_SYMPTOMS} more (--json has all)"


def _counts(cause: Cause) -> Counter[str]:
    """Code -> tensors and parameters behind what is explained."""
    counts: Counter[str] = Counter()
    for finding in cause.explains:
        counts[finding.code] += weight_of(finding)
    return counts


def _said(complaint: Complaint) -> str:
    where = f"line {complaint.line}: " if complaint.line else ""
    return f"{where}{complaint.text[:200]}{f' ({complaint.times} times)' if complaint.times > 1 else ''}"


# --- records ---


def records(found: Diagnosis) -> Iterator[str]:
    """JSON Lines: causes, the verdict first, each followed by what it explains; remarks; complaints; checks."""
    for cause in found.causes:
        own = _record(cause.finding)
        changes = [_change(change) for change in cause.changes]
        more = {"explains": _counts(cause), "answers": [c.text for c in cause.answers], "changes": changes}
        yield _json(own | more)
        by = {"code": cause.finding.code, "subject": cause.finding.subject}
        yield from (_json(_record(each) | {"explained_by": by}) for each in cause.explains)
    yield from (_json(_record(each)) for each in found.remarks)
    unanswered = found.unanswered
    for complaint in found.told.complaints:
        yield _json({"kind": "complaint"} | _complaint(complaint) | {"explained": complaint not in unanswered})
    yield from map(_json, _checks(found.checks))


def _record(finding: Finding) -> dict[str, Any]:
    return {"kind": "finding"} | finding_to_dict(finding)


def _complaint(complaint: Complaint) -> dict[str, Any]:
    """As it is, but that `kind` is the record's."""
    told = asdict(complaint)
    return {"what": told.pop("kind"), **told}


def _change(change: Any) -> dict[str, Any]:
    told = {"change": type(change).__name__, **asdict(change)}
    names = told.get("names")
    if isinstance(names, dict | list | tuple) and len(names) > _MOST_NAMES:
        some = dict(list(names.items())[:_MOST_NAMES]) if isinstance(names, dict) else list(names[:_MOST_NAMES])
        told |= {"names": some, "count": len(names)}
    return told


def _checks(checks: Sequence[Check]) -> Iterator[dict[str, Any]]:
    for check in checks:
        state: State = "not-checked" if check.unchecked else check.state
        yield {"kind": "check", "name": check.name, "state": state, "reason": check.unchecked or None,
               "told": check.told}  # fmt: skip


def _json(record: dict[str, Any]) -> str:
    return json.dumps(finite(record), allow_nan=False, default=str)
