"""The audit of a trace: exactly once, by element range, against the plan made again from what the trace says.

*Exactly once* means: each destination element is written once on each rank; each source element is read exactly as
often as its declared consumers say, over all ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mappings.findings import Finding, Unchecked
from mappings.plan import LoadPlan
from tracer.audit.drafts import Draft, settle
from tracer.audit.placement import audit_placement
from tracer.audit.reads import audit_reads
from tracer.audit.writes import audit_writes
from tracer.store import Store


@dataclass
class Audit:
    """Findings, causes before symptoms; what could not be checked; and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    written: int = 0
    """Elements of parameters, over the traced ranks."""
    read: int = 0
    """Elements of tensors."""
    moves: int = 0

    @property
    def ok(self) -> bool:
        return not self.findings and not self.unchecked


def audit(store: Store, plan: LoadPlan | None) -> Audit:
    """Audit an observed trace. Without a plan (a trace of another tool) only the writes can be checked."""
    run = store.run
    result = Audit()
    drafts: list[Draft] = []
    if plan is None:
        reason = "the trace has no config to plan from"
        result.unchecked += [Unchecked("placement", reason), Unchecked("reads", reason)]
    else:
        placed, result.moves = audit_placement(store, plan, run.ranks)
        drafts += placed
    for rank in run.ranks:
        written, elements = audit_writes(store, rank)
        drafts += written
        result.written += elements
    if plan is not None:
        drafts += _reads(store, plan, result)
    result.findings = settle(drafts)
    return result


def _reads(store: Store, plan: LoadPlan, result: Audit) -> list[Draft]:
    ranks = store.run.ranks
    if len(ranks) < plan.tp:
        result.unchecked.append(Unchecked("reads", f"only ranks {list(ranks)} of {plan.tp} were traced"))
        return []
    drafts, result.read = audit_reads(store, plan)
    return drafts
