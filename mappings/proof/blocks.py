"""The blocks half of proof 5: no rank's slice begins or ends inside a block of a quantised tensor (GGUF).

A block shares scales and can only be decoded whole. That the plan moves elements is no licence to cut one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mappings.bind import BoundRow
from mappings.findings import Finding
from mappings.ggml import BLOCKS
from mappings.names import collapse
from mappings.plan import LoadPlan
from mappings.proof.axes import prove_axes
from mappings.proof.ranks import LARGEST_TP, at, legal_sizes
from mappings.views import View


def prove_blocks(plan: LoadPlan) -> list[Finding]:
    """One `tp.quant-group` for each row and data type that this number of ranks cuts inside a block.

    The cuts themselves must be legal. Nothing is said where the rows are no bijection, as then there are no slices.
    """
    stored: dict[tuple[str, str], list[str]] = {}
    rows: dict[str, BoundRow] = {}
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(claim.owner, BoundRow) and tensor.dtype in BLOCKS:
            rows[claim.owner.id] = claim.owner
            stored.setdefault((claim.owner.id, tensor.dtype), []).append(tensor.name)
    if not stored or not prove_axes(plan.binding).holds:
        return []
    wrong = {key: run for key in stored if (run := _broken(rows[key[0]], BLOCKS[key[1]]))}
    legal = _legal(plan, list(stored)) if wrong else []
    return [_finding(plan, key, run, stored[key], legal, key == next(iter(wrong))) for key, run in wrong.items()]


def _broken(row: BoundRow, block: int) -> int:
    """The length of the first run of elements that is no whole number of blocks; 0 where all are."""
    for rank in row.ranks():
        for law in row.laws(rank):
            run, others = _run(law.src)
            if run % block or any(step % block for step in (law.src.offset, *others)):
                return run
    return 0


def _run(view: View) -> tuple[int, list[int]]:
    """How many elements a view reads in one go, and the strides between those runs."""
    axes = sorted((stride, size) for stride, size in zip(view.strides, view.sizes, strict=True) if size > 1)
    run = 1
    while axes and axes[0][0] == run:
        run *= axes.pop(0)[1]
    return run, [stride for stride, _ in axes]


def _legal(plan: LoadPlan, stored: list[tuple[str, str]]) -> list[int]:
    """The numbers of ranks that cut every axis legally and no block."""
    return [tp for tp in legal_sizes(plan.binding) if not any(_at(plan, tp, stored))]


def _at(plan: LoadPlan, tp: int, stored: list[tuple[str, str]]) -> Iterator[int]:
    rows: Mapping[str, BoundRow] = {row.id: row for row in at(plan.binding, tp).rows}
    return (_broken(rows[row], BLOCKS[dtype]) for row, dtype in stored)


def _finding(
    plan: LoadPlan, key: tuple[str, str], run: int, names: list[str], legal: list[int], first: bool
) -> Finding:  # fmt: skip
    subject, (row, dtype) = collapse(names)[0][0], key
    return Finding(
        "tp.quant-group", "error", subject,
        f"--tp {plan.tp} cuts {subject} inside {dtype} blocks: {run} elements of a row are no multiple of"
        f" {BLOCKS[dtype]}",
        {"dtype": dtype, "block": BLOCKS[dtype], "run": run, "tp": plan.tp, "row": row, "legal": legal},
        fix=f"legal sizes up to {LARGEST_TP}: {', '.join(map(str, legal)) or 'none'}" if first else None,
    )  # fmt: skip
