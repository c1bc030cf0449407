"""What the records of a trace say of each other: totals, ranks, and the verdicts on tensors."""

from __future__ import annotations

from mappings.bind import BoundRow
from mappings.findings import Finding
from mappings.plan import LoadPlan
from tracer.store import Store


def audit_records(store: Store, plan: LoadPlan | None) -> list[Finding]:
    """What the records say of each other: totals, ranks, and the verdicts on tensors."""
    end, found = store.end, []
    for table, count in (("tensor", "tensors"), ("param", "params"), ("move", "moves")):
        if end and getattr(end, count) != store.count(table):
            found.append(_contradiction("end", f"{count} is {getattr(end, count)}, there are {store.count(table)}"))
    run = store.run
    if plan and run.architecture != plan.binding.arch.name:
        said = f"architecture is {run.architecture}, by its config it is {plan.binding.arch.name}"
        found.append(_contradiction("run", said))
    strangers = store.ranks() - set(run.ranks)
    if strangers:
        found.append(_contradiction("run", f"records of ranks {sorted(strangers)}, which run.ranks does not name"))
    for tensor, claim in zip(store.tensors(), plan.claims if plan else (), strict=False):
        if tensor.disposition != claim.disposition:
            said = f"it is said to be {tensor.disposition}, by the rows it is {claim.disposition}"
            found.append(_contradiction(tensor.name, said))
        elif isinstance(claim.owner, BoundRow) and tensor.row not in (None, claim.owner.id):
            found.append(_contradiction(tensor.name, f"its row is {tensor.row}, by the rows it is {claim.owner.id}"))
    return found


def _contradiction(subject: str, said: str) -> Finding:
    return Finding("audit.wrong-slice", "error", subject, f"{subject}: the trace contradicts itself: {said}")
