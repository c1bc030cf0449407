"""Proof 5: each cut axis is tiled by its ranks, replicated only where declared; and which `--tp` is legal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from mappings.bind import Binding, Leaf
from mappings.findings import Finding
from mappings.forms import AtomPart
from mappings.params import Cut
from mappings.proof.verdict import Proof
from mappings.shards import box_of, obstacle, replicas, shard

LARGEST_TP = 128
"""Legal sizes are listed up to here."""


class Violation(NamedTuple):
    """One axis that a number of ranks cannot cut."""

    axis: str
    size: int
    reason: str
    param: str
    code: str = "tp.indivisible"


def prove_ranks(binding: Binding) -> Proof:
    """Findings: `tp.indivisible`, `tp.quant-group`, `tp.kv-replicated`."""
    wrong = violations(binding, binding.tp)
    if wrong:
        legal = legal_sizes(binding)
        return Proof("ranks", [_violated(binding, v, legal, v is wrong[0]) for v in wrong], checked=f"tp {binding.tp}")
    untiled = [finding for leaf in binding.leaves for finding in _tiling(leaf)]
    cuts = {p.cut for leaf in binding.leaves for p in leaf.parts if p.cut}
    return Proof("ranks", [*untiled, *_shared(binding)], checked=f"{len(cuts)} cuts at tp {binding.tp}")


def violations(binding: Binding, tp: int) -> list[Violation]:
    """Every axis that `tp` ranks cannot cut, once, the axis that most parameters depend on first."""
    found: dict[tuple[str, str], list[Violation]] = {}
    for leaf in binding.leaves:
        for violation in [*(v for part in leaf.parts for v in _of_part(leaf, part, tp)), *_of_merged(binding, leaf)]:
            found.setdefault((violation.axis, violation.code), []).append(violation)
    return [same[0] for same in sorted(found.values(), key=len, reverse=True)]


def _of_part(leaf: Leaf, part: AtomPart, tp: int) -> Iterator[Violation]:
    if part.cut is None:
        return
    axes, cut = leaf.axes, part.cut
    size = axes.size(cut.axis)
    reason = obstacle(cut, size, tp)
    if reason:
        yield Violation(cut.axis, size, reason, leaf.pattern.text)
        return
    sizes = tuple(axes.size(atom) for atom in axes.atoms((cut.axis,)))
    for rank in range(tp):
        held = shard(cut, size, tp, rank)
        if box_of((held.start, held.stop), sizes) is None:
            yield Violation(cut.axis, size, f"rank {rank} would hold parts of several groups", leaf.pattern.text)
            return
    if part.block_axis:
        yield from _of_blocks(leaf, part, cut, tp)


def _of_blocks(leaf: Leaf, part: AtomPart, cut: Cut, tp: int) -> Iterator[Violation]:
    block = int(str(part.block_axis).rpartition("/")[2])
    inner = leaf.axes.extent(part.cut_dim) // leaf.axes.size(cut.axis)
    held = shard(cut, leaf.axes.size(cut.axis), tp, 0)
    rows = held.stop * inner
    if tp > 1 and rows % block:
        reason = f"{rows} per rank is no multiple of the quantisation block {block}"
        yield Violation(str(part.block_axis), rows, reason, leaf.pattern.text, "tp.quant-group")


def _of_merged(binding: Binding, leaf: Leaf) -> Iterator[Violation]:
    """Every part but the last must end on a block, else a block of the fused parameter would have two scales."""
    if binding.scheme is None or leaf.leaf != binding.scheme.scale_leaf:
        return
    block = binding.scheme.block[0]
    for part in leaf.param.parts[:-1]:
        rows = leaf.axes.extent(part.dims[-2])
        if rows % block:
            reason = f"part {part.name} has {rows} rows, no multiple of the quantisation block {block}"
            yield Violation(".".join(part.dims[-2]), rows, reason, leaf.pattern.text, "tp.quant-group")


def legal_sizes(binding: Binding) -> list[int]:
    """Every number of ranks that can cut all axes."""
    return [tp for tp in range(1, LARGEST_TP + 1) if not violations(binding, tp)]


def _violated(binding: Binding, wrong: Violation, legal: list[int], first: bool) -> Finding:
    field = _field(binding, wrong.axis)
    named = f"{wrong.axis} ({field})" if field not in ("", wrong.axis) else wrong.axis
    return Finding(
        wrong.code, "error", wrong.param, f"--tp {binding.tp} cannot cut {named}: {wrong.reason} ({wrong.param})",
        {"axis": wrong.axis, "size": wrong.size, "tp": binding.tp, "legal": legal},
        fix=f"legal sizes up to {LARGEST_TP}: {', '.join(map(str, legal)) or 'none'}" if first else None,
    )  # fmt: skip


def _field(binding: Binding, axis: str) -> str:
    """The config field behind an axis; of a product, the field that its last atom divides."""
    atom = binding.arch.factors.get(axis, (axis,))[-1]
    first = binding.arch.axes.get(atom, "").split(" ")[0]
    return first if first.isidentifier() else ""


def _tiling(leaf: Leaf) -> Iterator[Finding]:
    """The intervals of all ranks, as often as declared, against the whole axis."""
    for part in leaf.parts:
        if part.cut is None:
            continue
        size = leaf.axes.size(part.cut.axis)
        shards = [shard(part.cut, size, leaf.tp, rank) for rank in range(leaf.tp)]
        copies = replicas(part.cut, size, leaf.tp)
        end, wrong = 0, any(a[:2] != b[:2] for a, b in pairwise(shards) if copies == leaf.tp)
        for held in shards[::copies]:
            wrong |= held.start != end
            end = held.stop
        if wrong or end != size:
            yield Finding(
                "tp.indivisible", "error", leaf.pattern.text,
                f"{leaf.pattern.text}: the ranks' intervals of {part.cut.axis} do not tile 0..{size}",
                {"intervals": [list(held[:2]) for held in shards]},
            )  # fmt: skip


def _shared(binding: Binding) -> list[Finding]:
    seen = {
        part.cut.axis: replicas(part.cut, leaf.axes.size(part.cut.axis), binding.tp)
        for leaf in binding.leaves for part in leaf.parts if part.cut and part.cut.kind == "share"
    }  # fmt: skip
    return [
        Finding(
            "tp.kv-replicated", "info", axis,
            f"{binding.axes.size(axis)} {axis} heads on {binding.tp} ranks: each is held {copies} times",
            {"axis": axis, "size": binding.axes.size(axis), "copies": copies},
        )
        for axis, copies in seen.items() if copies > 1
    ]  # fmt: skip


def at(binding: Binding, tp: int) -> Binding:
    """The same binding for another number of ranks."""
    leaves = {id(leaf): replace(leaf, tp=tp) for leaf in binding.leaves}
    rows = tuple(replace(row, leaf=leaves[id(row.leaf)]) for row in binding.rows)
    fills = tuple((fill, leaves[id(leaf)]) for fill, leaf in binding.fills)
    return replace(binding, tp=tp, leaves=tuple(leaves.values()), rows=rows, fills=fills)
