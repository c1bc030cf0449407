"""The static proofs: what can be shown before a byte of a weight is read.

1 names    every checkpoint name is claimed by exactly one Row, Skip or Tie
2 slots    every part of every parameter is fed by exactly one Row or Fill, on each rank
3 axes     a row's axes are its slot's axes: a bijection, whatever the sizes
4 sizes    the layouts give the shapes in the header
5 ranks    every cut axis is tiled by its ranks, replicated only where declared
6 bytes    the tensors' spans tile each file
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mappings.findings import Finding, Unchecked
from mappings.plan import LoadPlan
from mappings.proof.axes import prove_axes
from mappings.proof.blocks import prove_blocks
from mappings.proof.bytes import prove_bytes
from mappings.proof.names import prove_names
from mappings.proof.ranks import prove_ranks
from mappings.proof.sizes import prove_sizes
from mappings.proof.slots import prove_slots
from mappings.proof.verdict import Proof
from mappings.span import Span

__all__ = ["Proof", "Span", "prove", "prove_axes", "prove_bytes", "prove_names", "prove_ranks", "prove_sizes",
           "prove_slots"]  # fmt: skip


NO_NAMES = "there is no header, names and shapes come from the rows"
NO_SHAPES = "there is no header, shapes come from the rows"


def prove(
    plan: LoadPlan, spans: Sequence[Span] | None, shapes_known: bool = True, names_known: bool = True
) -> list[Proof]:
    """All six, in order. A proof without its input is reported as not checked, with the reason."""
    missing = NO_SHAPES if names_known else NO_NAMES
    parts: list[Callable[[], Proof]] = [
        lambda: prove_names(plan, None if names_known else NO_NAMES),
        lambda: prove_slots(plan, None if names_known else NO_NAMES),
        lambda: prove_axes(plan.binding),
        lambda: prove_sizes(plan) if shapes_known else _skipped("sizes", missing),
        lambda: _ranks(plan),
        lambda: prove_bytes(spans) if spans is not None else _skipped("bytes", missing),
    ]  # fmt: skip
    return [part() for part in parts]


def _ranks(plan: LoadPlan) -> Proof:
    """Where the cuts are legal, blocks of quantised tensors are looked at too."""
    proof = prove_ranks(plan.binding)
    if proof.holds:
        proof.findings.extend(prove_blocks(plan))
    return proof


def _skipped(name: str, reason: str) -> Proof:
    return Proof(name, [], unchecked=Unchecked(name, reason))


def findings(proofs: Sequence[Proof]) -> list[Finding]:
    """What all proofs have to say, in their order."""
    return [finding for proof in proofs for finding in proof.findings]
