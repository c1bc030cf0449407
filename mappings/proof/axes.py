"""Proof 3: the axes of a row, in its name and its layout, are those of its slot, each once.

It holds for every size, and shows a bijection, never its meaning: BLOOM read as `"part, hidden"` passes.
"""

from __future__ import annotations

from collections import Counter

from mappings.axes import PART, Axes, Layout, spell
from mappings.bind import Binding
from mappings.findings import Finding
from mappings.names import Pattern
from mappings.params import Param
from mappings.proof.verdict import Proof
from mappings.rows import Row


def prove_axes(binding: Binding) -> Proof:
    """Compare every row with its slot, symbolically. Findings: `mapping.axes`."""
    rows = {id(bound.row): bound.row for bound in binding.rows}.values()
    params = {leaf.param.name: leaf.param for leaf in binding.leaves}.values()
    found = [finding for row in rows if (finding := _compare(binding.axes, row))]
    found += [finding for param in params if (finding := _own_layout(binding.axes, param))]
    return Proof("axes", found, checked=f"{len(rows)} rows")


def _own_layout(axes: Axes, param: Param) -> Finding | None:
    """A parameter's own layout against its parts."""
    laid = Counter(axes.atoms(axis for dim in param.layout for axis in dim))
    beside = laid.pop(PART, 0)
    parts = [(part.name or param.name, Counter(_atoms(axes, part.dims))) for part in param.parts]
    wrong = [name for name, atoms in parts if not _fits(laid, beside, atoms) or max(atoms.values(), default=0) > 1]
    if not wrong and (len(param.parts) == 1 or beside == 1):
        return None
    return Finding(
        "mapping.axes", "error", param.name,
        f'parameter {param.name}: its layout "{spell(param.layout)}" does not lay out every axis of its parts once',
        {"layout": spell(param.layout), "parts": wrong},
    )  # fmt: skip


def _fits(laid: Counter[str], beside: int, atoms: Counter[str]) -> bool:
    """Whether the layout places a part's atoms; those that it does not mention stand where `part` stands."""
    return laid <= atoms if beside else laid == atoms


def _atoms(axes: Axes, dims: Layout) -> list[str]:
    return [atom for dim in dims for atom in axes.atoms(dim)]


def _compare(axes: Axes, row: Row) -> Finding | None:
    for part in row.slot.parts:
        slot = _slot_atoms(axes, row, part.dims)
        stated = _row_atoms(axes, row, part.dims, slot)
        if slot != stated:
            return _finding(row, part.name, slot, stated)
    if len(row.slot.parts) > 1 and sum(dim.count(PART) for dim in row.layout) != 1:
        return _no_part(row)
    return None


def _slot_atoms(axes: Axes, row: Row, dims: tuple[tuple[str, ...], ...]) -> Counter[str]:
    param_axes = Pattern(row.slot.param.name).axes
    return Counter([*(a for dim in dims for a in axes.atoms(dim)), *param_axes])


def _row_atoms(
    axes: Axes, row: Row, dims: tuple[tuple[str, ...], ...], slot: Counter[str]
) -> Counter[str]:
    """The atoms that the row places; where `part` stands, everything the row does not mention stands too."""
    named = [a for axis in Pattern(row.name).axes for a in (axis,) if axis not in axes.sizes or axes.size(axis) > 1]
    spelled = set(Pattern(row.name).axes)
    laid = [a for dim in row.layout for a in axes.atoms(x for x in dim if x not in spelled)]
    atoms = Counter([*named, *laid])
    if atoms.pop(PART, 0):
        atoms += slot - atoms
    return atoms


def _finding(row: Row, part: str, slot: Counter[str], stated: Counter[str]) -> Finding:
    lacks, extra = sorted((slot - stated).elements()), sorted((stated - slot).elements())
    told = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(extra)} too many"] * bool(extra)
    said = "; ".join(told)
    return Finding(
        "mapping.axes", "error", row.name,
        f'row {row.name} ({row.source}): layout "{spell(row.layout)}" {said} against {row.slot.param.name}'
        + (f"[{part}]" if part else ""),
        {"layout": spell(row.layout), "lacks": lacks, "extra": extra, "part": part, "row": row.source},
        fix="let name and layout of the row mention every axis of the slot once",
    )  # fmt: skip


def _no_part(row: Row) -> Finding:
    return Finding(
        "mapping.axes", "error", row.name,
        f"row {row.name} ({row.source}) feeds {len(row.slot.parts)} parts,"
        f' but "{spell(row.layout)}" does not say once where they lie',
        {"layout": spell(row.layout), "parts": [p.name for p in row.slot.parts], "row": row.source},
    )  # fmt: skip
