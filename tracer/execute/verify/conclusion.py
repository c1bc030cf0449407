"""What all ranks say of their passes, as one verdict with its findings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from mappings.findings import Finding
from mappings.names import runs
from mappings.plan import LoadPlan
from tracer.execute.verify.passed import Departure, Nonfinite, Passed
from tracer.execute.verify.points import HIDDEN, LOGITS
from tracer.execute.verify.sources import Sources
from tracer.verified import VERIFY, Verified

_Place = TypeVar("_Place", Nonfinite, Departure)
UNSEEN = "not seen: finite values that are wrong, and what these ids do not reach"
"""What one pass over a few ids cannot say."""
SPELLED = 4
"""Tensors that are named with their counts; the others are in the evidence."""


def conclude(plan: LoadPlan, passed: Sequence[Passed]) -> Verified:
    """Of the ranks in order: finite everywhere, and the same on all."""
    ranks = f"{len(passed)} rank{'s' if len(passed) > 1 else ''}"
    size = f"{ranks}, {len(passed[0].ids)} tokens"
    found = [*_nonfinite(plan, passed), *_departure(plan, passed)]
    if not found:
        equal = " and equal" if len(passed) > 1 else ""
        return Verified(VERIFY, "ok", f"{size}, logits finite{equal}; {UNSEEN}")
    wrong = ["values that are not finite"] if found[0].code == "value.nonfinite" else []
    wrong += ["ranks that differ"] if found[-1].code == "verify.rank-differs" else []
    return Verified(VERIFY, "failed", f"{size}, {' and '.join(wrong)}", tuple(found))


def failed_pass(rank: int | None, message: str) -> Verified:
    """A rank could not compute with what it had loaded."""
    where = "" if rank is None else f"rank {rank}: "
    finding = Finding(
        "verify.failed", "error", "forward pass", f"{where}the forward pass failed: {message}", rank=rank
    )  # fmt: skip
    return Verified(VERIFY, "failed", f"the forward pass failed: {where}{message}", (finding,))


def _ranks(found: Collection[int]) -> str:
    return f"rank{'s' * (len(found) > 1)} {runs(found)}"


def _first(seen: Mapping[int, _Place | None]) -> dict[int, _Place]:
    """Of what ranks met, by rank, what lies at the earliest place: all that comes later follows from it."""
    met = {rank: found for rank, found in seen.items() if found}
    return {rank: found for rank, found in met.items() if found.place == min(each.place for each in met.values())}


# --- not finite ---


def _nonfinite(plan: LoadPlan, passed: Sequence[Passed]) -> list[Finding]:
    """At the place where it begins, on whichever ranks that is: all later ones follow from it."""
    first = _first({rank: one.nonfinite for rank, one in enumerate(passed)})
    if not first:
        return []
    fault = next(iter(first.values()))
    held: dict[str, dict[int, int]] = {}
    for rank, found in first.items():
        for name, count in found.tensors.items():
            held.setdefault(name, {})[rank] = count
    tensors = {name: max(counts.values()) for name, counts in held.items()}
    sources = Sources(plan)
    params = sources.under(fault.inside)
    message = f"{_where(fault)} ({_ranks(first)}): {fault.count:,} of {fault.of:,} elements; "
    evidence = {
        "module": fault.inside, "point": f"{fault.side} of {fault.module}", "ranks": list(first),
        "elements": fault.count, "of": fault.of, "parameters": sources.evidence(params), "tensors": held,
        "dtype": passed[0].dtype, "ids": list(passed[0].ids),
    }  # fmt: skip
    return [Finding(
        "value.nonfinite", "error", _subject(fault), message + _cause(sources, params, tensors), evidence,
        _remedy(tensors, passed[0].dtype), next(iter(first)) if len(first) == 1 else None,
    )]  # fmt: skip


def _subject(fault: Nonfinite | Departure) -> str:
    """Something that can be searched for."""
    inside = fault.inside if isinstance(fault, Nonfinite) else fault.module
    return {HIDDEN: "hidden states", LOGITS: "logits", "": "model"}.get(inside, inside)


def _where(fault: Nonfinite) -> str:
    if fault.inside == fault.module:
        return f"{_subject(fault)} is the first module whose output is not finite"
    if fault.module in (HIDDEN, LOGITS):
        return f"the {fault.module.strip('()')} are not finite, and all that modules made before them are"
    return f"{_subject(fault)} is the first module that makes values that are not finite, the input of {fault.module}"


def _cause(sources: Sources, params: Sequence[str], tensors: Mapping[str, int]) -> str:
    told = f"; parameters: {sources.told(params)}" if params else ""
    if not tensors:
        return f"what goes in is finite, and so are its parameters: the values overflow{told}"
    first = list(tensors.items())[:SPELLED]
    counts = ", ".join(f"{name} ({count:,} element{'s' * (count > 1)})" for name, count in first)
    more = f" and {len(tensors) - SPELLED} more tensors" if len(tensors) > SPELLED else ""
    return f"what goes in is finite, {counts}{more} is not{told}"


def _remedy(tensors: Mapping[str, int], dtype: str) -> str | None:
    wider = "load it with --dtype float32 or bfloat16, whose range is wider" if dtype == "torch.float16" else None
    again = "convert or download these tensors again" if tensors else None
    return "; if that changes nothing, ".join(filter(None, (wider, again))) or None


# --- ranks that differ ---


def _departure(plan: LoadPlan, passed: Sequence[Passed]) -> list[Finding]:
    first = _first({rank: one.departure for rank, one in enumerate(passed)})
    if not first:
        return []
    rank, fault = max(first.items(), key=lambda item: item[1].difference)
    params = list(dict.fromkeys(name for found in first.values() for name in found.params))
    sources = Sources(plan)
    what = "what enters" if fault.side == "input" else "the output of"
    cause = f"; other values than on rank 0 have {sources.told(params)}" if params else ""
    message = (
        f"{what} {_subject(fault)} should be the same on all ranks and is not: on {_ranks(first)} it differs from"
        f" that of rank 0 by up to {fault.difference:.3g} (largest value {fault.largest:.3g}, allowed"
        f" {fault.allowed:.2g}){cause}"
    )
    evidence = {
        "module": fault.module, "side": fault.side, "ranks": list(first), "difference": fault.difference,
        "largest": fault.largest, "allowed": fault.allowed, "parameters": sources.evidence(params),
        "ids": list(passed[0].ids),
    }  # fmt: skip
    return [
        Finding("verify.rank-differs", "error", _subject(fault), message, evidence,
                "have every rank load the same tensor: the audit says what each has read" if params else None,
                rank if len(first) == 1 else None)
    ]  # fmt: skip
