"""The audit of a trace: exactly once, by element range, against the plan made again from what the trace says.

*Exactly once* means: each destination element is written once on each rank; each source element is read exactly as
often as its declared consumers say, over all ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mappings.findings import Finding, Unchecked
from mappings.plan import LoadPlan
from tracer.audit.drafts import Draft, settle
from tracer.audit.fills import audit_fills
from tracer.audit.parameters import audit_parameters
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
        """Nothing was found, everything was checked, and there was something to check."""
        return not self.findings and not self.unchecked and self.written > 0


def audit(store: Store, plan: LoadPlan | None) -> Audit:
    """Audit an observed trace. Without a plan (a trace of another tool) only the writes can be checked."""
    result = Audit()
    drafts = _unplanned(result) if plan is None else _against_plan(store, plan, result)
    told = {(draft.rank, draft.subject) for draft in drafts if draft.code != "audit.unwritten"}
    for rank in store.run.ranks:
        written, elements = audit_writes(store, rank)
        never = {(d.rank, d.subject) for d in written if d.code == "audit.unwritten"} - told
        # The ranges that were never written say it better than the moves that were planned for them.
        drafts = [d for d in drafts if d.code != "audit.unwritten" or (d.rank, d.subject) not in never]
        drafts += written
        result.written += elements
    if plan is not None:
        drafts += _reads(store, plan, result)
    result.findings = settle(drafts)
    return result


def _unplanned(result: Audit) -> list[Draft]:
    reason = "the trace has no config to plan from"
    result.unchecked += [Unchecked(name, reason) for name in ("parameters", "placement", "fills", "reads")]
    return []


def _against_plan(store: Store, plan: LoadPlan, result: Audit) -> list[Draft]:
    """What each rank allocated, moved and filled, against what it should have."""
    ranks = store.run.ranks
    drafts, result.moves = audit_placement(store, plan, ranks)
    for rank in ranks:
        drafts += audit_parameters(store, plan, rank)
        drafts += audit_fills(store, plan, rank)
    return drafts


def _reads(store: Store, plan: LoadPlan, result: Audit) -> list[Draft]:
    ranks = store.run.ranks
    if len(ranks) < plan.tp:
        result.unchecked.append(Unchecked("reads", f"only ranks {list(ranks)} of {plan.tp} were traced"))
        return []
    drafts, result.read = audit_reads(store, plan)
    return drafts
