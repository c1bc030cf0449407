"""What of a subject depends on the number of ranks, said anew for another number than it was examined with.

What the cuts of the rows show is proved again. What an examination would find beyond that (groups of a quantised weight
that a cut breaks, say) is not looked for, and is said not to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.findings import Finding, in_order
from mappings.ggml import BLOCKS
from mappings.plan import LoadPlan
from mappings.proof.blocks import prove_blocks
from mappings.proof.ranks import at, prove_ranks
from mappings.proof.verdict import Proof
from tracer.checks import Check
from tracer.diagnose.cause import Cause
from tui.model.subject import Subject

AREA = "tp"
"""The area of the codes that say something of a number of ranks."""
LOADED = ("audit", "load", "verify")
"""The areas of those that say something of one load."""
RANKS = "ranks"
STATIC = ("names", "axes", "sizes", "bytes")
"""Proofs that say the same of every number of ranks."""


def with_ranks(examined: Subject, tp: int) -> Subject:
    """The subject as it is with `tp` ranks; itself for the number that it was examined with."""
    if tp == examined.tp or examined.prepared is None or examined.stage != "examined":
        return examined
    proof = _proved(examined.prepared.plan, tp)
    causes = [_without(cause) for cause in examined.causes if not _of_one_number(cause.finding)]
    new = [finding for finding in proof.findings if finding.severity != "info"]
    remarks = [finding for finding in examined.remarks if not _of_one_number(finding)]
    return examined.further(
        tp=tp,
        causes=sorted([*causes, *map(Cause, in_order(new))], key=lambda cause: cause.finding.severity != "error"),
        remarks=[*remarks, *(finding for finding in proof.findings if finding.severity == "info")],
        checks=[*_kept(examined, tp), *_asked(examined, proof, tp)],
    )  # fmt: skip


def _proved(plan: LoadPlan, tp: int) -> Proof:
    """The static proof of the ranks, made for another number of them."""
    other = at(plan.binding, tp)
    proof = prove_ranks(other)
    if proof.holds and any(tensor.dtype in BLOCKS for tensor in plan.tensors):
        rows = dict(zip(map(id, plan.binding.rows), other.rows, strict=True))
        claims = [claim._replace(owner=rows.get(id(claim.owner), claim.owner)) for claim in plan.claims]
        proof.findings.extend(prove_blocks(LoadPlan(other, plan.tensors, claims)))
    return proof


def _of_one_number(finding: Finding) -> bool:
    """Whether nothing of it need be so with another number of ranks."""
    return finding.rank is not None or finding.code.partition(".")[0] in (AREA, *LOADED)


def _without(cause: Cause) -> Cause:
    return replace(cause, explains=tuple(finding for finding in cause.explains if not _of_one_number(finding)))


def _kept(examined: Subject, tp: int) -> Iterator[Check]:
    """What is so for any number of ranks. That a load went well says nothing of one that never was."""
    for check in examined.checks:
        if check.name == RANKS:
            continue
        if examined.store is None or check.unchecked or check.name in STATIC:
            yield replace(check, findings=tuple(finding for finding in check.findings if not _of_one_number(finding)))
        else:
            yield Check(check.name, unchecked=f"the trace is of tp {examined.tp}: with tp {tp} nothing was loaded")


def _asked(examined: Subject, proof: Proof, tp: int) -> list[Check]:
    told = Check(f"{RANKS} at tp {tp}", proof.checked, tuple(proof.findings))
    if not examined.where or examined.store is not None:
        return [told]
    left = f"all else was asked for tp {examined.tp}; tracer browse --tp {tp} asks it for this number"
    return [told, Check(f"the rest at tp {tp}", unchecked=left)]
