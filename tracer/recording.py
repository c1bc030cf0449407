"""What a run writes into its trace beside what was observed: verdicts on tensors, planned moves, checks, findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mappings.bind import is_fused
from mappings.claims import Claim
from mappings.findings import Finding
from mappings.proof import findings
from mappings.rows import Skip, Tie
from tracer.events import Check, Padding, Parameter, Tensor
from tracer.prepare import Prepared
from tracer.store import MoveRow, Store

if TYPE_CHECKING:
    from tracer.session import Result


@dataclass(frozen=True)
class Told:
    """Which moves of a plan are wanted: of how many ranks, and of which tensors or into which parameters."""

    ranks: int | None = None
    tensor: str | None = None
    param: str | None = None
    everything: bool = False
    """All of them, whatever is looked at: the trace is kept."""

    def wants(self, tensor: str, param: str) -> bool:
        if self.everything or (not self.tensor and not self.param):
            return True
        return fnmatchcase(tensor, self.tensor or "") or fnmatchcase(param, self.param or "")


EVERYTHING = Told()


def tensor_records(prepared: Prepared) -> Iterable[Tensor]:
    """Every tensor of the checkpoint and the verdict on it."""
    known: dict[int, tuple[str, str | None, str | None]] = {}
    for info, claim in zip(prepared.infos, prepared.plan.claims, strict=True):
        # Few entries claim all tensors; each one that nobody claims has a reason of its own.
        verdict = known.get(id(claim.owner))
        if verdict is None:
            verdict = claim.disposition, *_verdict(prepared.plan.binding.arch.id, claim)
            if claim.owner is not None:
                known[id(claim.owner)] = verdict
        yield Tensor(info.name, info.dtype, info.shape, info.file, info.offset, info.nbytes, *verdict)


def _verdict(arch: str, claim: Claim) -> tuple[str | None, str | None]:
    """The id of the table entry that claims a tensor, and the reason where it is not loaded."""
    match claim.owner:
        case None:
            return None, claim.reason
        case Skip(name=name, why=why):
            return f"{arch}:{name}", why
        case Tie(name=name, to=to):
            return f"{arch}:{name}", f"tied to {to.leaf_name('weight')}"
        case row:
            return row.id, None


def add_params(prepared: Prepared, store: Store) -> None:
    """The parameters that the plan would allocate."""
    leaves = dict(prepared.plan.params())
    tied = prepared.plan.tied()
    for rank in prepared.request.ranks:
        own = [
            Parameter(rank, name, leaf.form(rank).shape, leaf.dtype, is_fused(leaf), None)
            for name, leaf in leaves.items()
        ]  # fmt: skip
        aliases = [
            Parameter(rank, name, leaves[to].form(rank).shape, leaves[to].dtype, False, to) for name, to in tied.items()
        ]  # fmt: skip
        store.add_params([*own, *aliases])


def add_planned(prepared: Prepared, store: Store, told: Told) -> None:
    """The plan's own fills, and those of its moves that are wanted."""
    planned = prepared.plan
    names = [t.name for t in planned.tensors]
    for rank in prepared.request.ranks:
        store.add_pads(
            Padding(rank, name, ranges, pad.value, pad.reason)
            for pad, name in planned.pads(rank) for ranges in planned.ranges(pad)
        )  # fmt: skip
    for rank in prepared.request.ranks[: told.ranks]:
        store.add_moves(
            MoveRow(rank, names[tensor], row.id, place.shard, param, row.op, place.boxes)
            for tensor, row, _, place, param in planned.steps(rank) if told.wants(names[tensor], param)
        )  # fmt: skip


def checks(result: Result) -> Iterator[Check]:
    """Every proof and every part of the audit, and the load itself where it failed."""
    for proof in result.proofs:
        reason = proof.unchecked.reason if proof.unchecked else proof.checked
        state = "not-checked" if proof.unchecked else "ok" if proof.holds else "failed"
        yield Check(proof.name, state, reason)
    if result.failure:
        yield Check("load", "failed", result.failure)
    if result.audit is None:
        yield Check("audit", "not-checked", result.where)
    else:
        yield Check("audit", "failed" if result.audit.findings else "ok", f"{result.audit.moves} moves")
    yield from (Check(check.name, check.state, check.told) for check in result.verified)
    left = [*result.prepared.unchecked, *(result.audit.unchecked if result.audit else [])]
    yield from (Check(item.name, "not-checked", item.reason) for item in left)


def all_findings(result: Result) -> list[Finding]:
    """In the order of causes."""
    found = [*result.prepared.findings, *findings(result.proofs)]
    damage = result.damage.finding() if result.damage else None
    found += [damage] if damage else []
    found += [_load_failed(result.failure, result.failed_rank)] if result.failure else []
    found += result.audit.findings if result.audit else []
    return found + [finding for check in result.verified for finding in check.findings]


def _load_failed(failure: str, rank: int | None) -> Finding:
    subject = "load" if rank is None else f"rank {rank}"
    message = f"the load did not come to its end: {failure}"
    return Finding("load.failed", "error", subject, message, rank=rank)
