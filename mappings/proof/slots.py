"""Proof 2: every (storage, position, part) is claimed by exactly one Row or Fill, on each rank."""

from __future__ import annotations

from collections.abc import Iterable

from mappings.bind import Binding, BoundRow, Leaf
from mappings.findings import Finding, Unchecked
from mappings.names import Indices, collapse, fold, runs
from mappings.plan import LoadPlan
from mappings.proof.verdict import Proof


def prove_slots(plan: LoadPlan, without_header: str | None = None) -> Proof:
    """Findings: `mapping.slot` (the table), `param.unfilled`, `experts.missing`, `layers.missing` (the checkpoint)."""
    found = [f for leaf in plan.binding.leaves for f in _table(plan.binding, leaf)]
    if without_header:
        return Proof("slots", found, unchecked=Unchecked("slots", without_header))
    found += unfilled(plan)
    return Proof("slots", found, checked=f"{len(plan.binding.leaves)} parameter templates")


def _table(binding: Binding, leaf: Leaf) -> Iterable[Finding]:
    """Rows and fills against the parts of one leaf, on every rank that differs from the others."""
    rows = [row for row in binding.rows if row.leaf is leaf]
    fills = [fill for fill, own in binding.fills if own is leaf]
    told: set[tuple[str, str]] = set()
    named = {r for r in (*(row.row.rank for row in rows), *(f.except_rank for f in fills)) if r is not None}
    for rank in sorted({0, binding.tp - 1, *(r for r in named if r < binding.tp)}):
        for part in leaf.parts:
            feeding = [r for r in rows if rank in r.ranks() and any(p.name == part.name for p in r.parts)]
            constant = [f for f in fills if f.except_rank != rank and any(p.name == part.name for p in f.slot.parts)]
            problem = _claimed_once(leaf, feeding, len(constant))
            if problem and (part.name, problem) not in told:
                told.add((part.name, problem))
                yield _slot(leaf, part.name, rank, problem, feeding)


def _claimed_once(leaf: Leaf, rows: list[BoundRow], fills: int) -> str | None:
    wanted = set(leaf.instances())
    claims: list[Indices] = [i for row in rows for i in _positions(row)]
    once = set(claims)
    if fills and (rows or fills > 1):
        return "it is claimed by a Fill and by something else"
    if fills:
        return None
    if len(claims) > len(once):
        return "two rows claim it"
    missing = wanted - once
    where = f" for {leaf.pattern.axes[0]} {_runs(missing)}" if leaf.pattern.axes else ""
    return f"no row claims it{where}" if missing else None


def _positions(row: BoundRow) -> set[Indices]:
    """Positions of the parameter that the row reaches; a name axis must run over its whole size to count."""
    for axis, domain in zip(row.pattern.axes, row.domain, strict=True):
        shifted = axis in row.leaf.axes.sizes and axis not in row.leaf.pattern.axes
        if shifted and len(domain) != row.leaf.axes.size(axis):
            return set()
    return {row.param_indices(i) for i in row.instances()} if row.pattern.axes else {()}


def _runs(missing: set[Indices]) -> str:
    return runs(i[0] for i in missing if i)


def _slot(leaf: Leaf, part: str, rank: int, problem: str, rows: list[BoundRow]) -> Finding:
    where = f"{leaf.pattern.text}[{part}]" if part else leaf.pattern.text
    return Finding(
        "mapping.slot", "error", leaf.pattern.text, f"{where}: {problem} (rank {rank})",
        {"part": part, "rows": [row.row.source for row in rows]}, rank=rank,
    )  # fmt: skip


def unfilled(plan: LoadPlan) -> list[Finding]:
    """Tensors that rows expect and the header lacks, by row; whole layers and experts are named as such."""
    present: dict[str, set[Indices]] = {}
    for claim in plan.claims:
        if isinstance(claim.owner, BoundRow):
            present.setdefault(claim.owner.id, set()).add(claim.indices)
    gaps = {row: set(row.instances()) - present.get(row.id, set()) for row in plan.binding.rows}
    gaps = {row: gap for row, gap in gaps.items() if gap}
    gone = _whole_layers(plan, present)
    found = [_layers(plan, gone)] if gone else []
    for row, gap in gaps.items():
        rest = {i for i in gap if not (i and row.pattern.axes[0] == "layer" and i[0] in gone)}
        if rest:
            found.append(_gap(plan, row, rest))
    return found


def _whole_layers(plan: LoadPlan, present: dict[str, set[Indices]]) -> set[int]:
    """Layers of which the header has nothing, when it has something of others."""
    layered = [row for row in plan.binding.rows if row.pattern.axes[:1] == ("layer",)]
    seen = {i[0] for row in layered for i in present.get(row.id, ())}
    wanted = {i for row in layered for i in row.domain[0]}
    return wanted - seen if seen else set()


def _layers(plan: LoadPlan, gone: set[int]) -> Finding:
    return Finding(
        "layers.missing", "error", f"layers {runs(gone)}",
        f"the checkpoint has no tensor of layer {runs(gone)}, config.json says"
        f" {plan.binding.arch.layers} = {len(plan.binding.domains['layer'])}",
        {"layers": sorted(gone)}, fix=f"fetch the missing shards, or correct {plan.binding.arch.layers}",
    )  # fmt: skip


def _gap(plan: LoadPlan, row: BoundRow, gap: set[Indices]) -> Finding:
    ordered = sorted(gap)
    names = fold(row.pattern.template, ordered) if row.pattern.axes else row.pattern.text
    param = collapse(row.param_name(i) for i in ordered)[0][0]
    parts = f"[{', '.join(p.name for p in row.parts)}]" if row.parts[0].name else ""
    some = len(gap) < row.count() and "expert" in row.pattern.axes
    return Finding(
        "experts.missing" if some else "param.unfilled", "error", param,
        f"{param}{parts} has no source: {names} {'is' if len(gap) == 1 else 'are'} not in the checkpoint"
        f" ({len(gap)} of {row.count()})",
        {"tensors": names, "missing": len(gap), "of": row.count(), "row": row.id},
        fix=_fix(row, gap),
    )  # fmt: skip


def _fix(row: BoundRow, gap: set[Indices]) -> str | None:
    """Where to look: what others of its kind have is lost; what none has may be called otherwise, or not be meant."""
    if row.leaf.param.name == "lm_head":
        return "set tie_word_embeddings to true if the head is tied"
    if len(gap) == row.count() > 1:
        return None
    lacking = f": the other {row.count() - len(gap)} of its kind are here" if row.count() > 1 else ""
    return f"look for {'it' if len(gap) == 1 else 'them'} in the other files, or take the file anew{lacking}"
