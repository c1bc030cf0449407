"""The audit of a saved trace once more, by nothing but what stands in it: its records, its moves, its plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mappings.findings import Finding, Unchecked, in_order
from mappings.plan import LoadPlan
from mappings.proof import findings, prove
from tracer.audit import Audit, audit
from tracer.audit.records import audit_records
from tracer.store import Store

_OWN = "audit."
"""What the codes begin with that only an audit gives."""
CUT_SHORT = "the trace was cut short: it has no end record"


def audit_again(store: Store, plan: LoadPlan | None) -> Audit:
    """Everything that can be said of a saved trace; `plan` is what `replan` gave. Raises InputError where damaged."""
    if not store.run.observed:
        checked = Audit(unchecked=[Unchecked("audit", "the trace is a plan: nothing in it was observed")])
    else:
        checked = audit(store, plan)
    found = [f for f in findings(prove(plan, None)) if f.severity == "error"] if plan else []
    checked.findings = [*audit_records(store, plan), *found, *checked.findings]
    # That a load was cut short cannot be found out again: all that it has written may be as planned.
    checked.findings += [finding for finding in store.findings() if finding.code == "load.failed"]
    if store.end is None:
        checked.unchecked.append(Unchecked("end", CUT_SHORT))
    return checked


def found_again(recorded: Iterable[Finding], found: Sequence[Finding] | None) -> list[Finding]:
    """What a trace says was found, errors first; what an audit has found again in the place of what it found then."""
    if found is None:
        return in_order(recorded)
    kept = [finding for finding in recorded if not finding.code.startswith(_OWN)]
    known = {(finding.code, finding.subject, finding.rank) for finding in kept}
    return in_order([*kept, *(each for each in found if (each.code, each.subject, each.rank) not in known)])
