"""Proof 4: the evaluated layouts are the shapes in the header; where not, which axis and which config value.

Data types are compared with it.
"""

from __future__ import annotations

from itertools import permutations

from mappings.axes import PART, Layout, spell
from mappings.bind import Binding, BoundRow
from mappings.findings import Finding, Unchecked
from mappings.forms import form
from mappings.names import collapse
from mappings.plan import LoadPlan
from mappings.proof.dtypes import prove_dtypes
from mappings.proof.verdict import Proof
from mappings.views import Shape

_NONE = "no row claims a tensor that is here, so that no shape was compared"


def prove_sizes(plan: LoadPlan) -> Proof:
    """Findings: `shape.mismatch` for a row and a shape, `layout.ambiguous` for a row that a rival would fit too;
    and what `mappings.proof.dtypes` finds.
    """
    wrong: dict[tuple[str, Shape], list[str]] = {}
    rows: dict[str, BoundRow] = {}
    checked = 0
    for tensor, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(claim.owner, BoundRow):
            checked += 1
            rows[claim.owner.id] = claim.owner
            if claim.owner.shape != tuple(tensor.shape):
                wrong.setdefault((claim.owner.id, tuple(tensor.shape)), []).append(tensor.name)
    found = [_mismatch(plan.binding, rows[row], shape, names) for (row, shape), names in wrong.items()]
    good = [row for row in rows.values() if not any(row.id == key for key, _ in wrong)]
    found += [*prove_dtypes(plan), *(finding for row in good if (finding := _ambiguous(row)))]
    unchecked = None if checked else Unchecked("sizes", _NONE)
    return Proof("sizes", found, unchecked, f"{checked} tensors")


def _mismatch(binding: Binding, row: BoundRow, shape: Shape, names: list[str]) -> Finding:
    subject = collapse(names)[0][0]
    layout = spell(row.told)
    hints = [text for text in (_permuted(row, shape), _solved(binding, row, shape)) if text]
    return Finding(
        "shape.mismatch", "error", subject,
        f'{subject} is {shape}, but "{layout}" is {row.shape}' + (f": {hints[0]}" if hints else ""),
        {"found": shape, "expected": row.shape, "layout": layout, "row": row.id, "tensors": len(names)},
        fix=_repair(hints[0]) if hints else None,
    )  # fmt: skip


def _repair(hint: str) -> str | None:
    """What to do, where the hint says more than what is wrong."""
    if hint.startswith("it fits"):
        return f"transpose the tensor, or state the layout in a row of your own: {hint.removeprefix('it fits ')}"
    return f"set {hint.partition(' in config.json')[0]}" if "would fit" in hint else None


def _permuted(row: BoundRow, shape: Shape) -> str | None:
    if shape == row.shape or len(shape) != len(row.shape):
        return None
    for order in permutations(range(len(shape))):
        if tuple(row.shape[i] for i in order) == shape:
            return f'it fits "{spell(tuple(row.told[i] for i in order))}"'
    return None


def _solved(binding: Binding, row: BoundRow, shape: Shape) -> str | None:
    """The one config value that would make the shape right, where the axis that differs has a field of its own."""
    if len(shape) != len(row.shape):
        return f"it has {len(shape)} dimensions, expected {len(row.shape)}"
    differing = [i for i, (a, b) in enumerate(zip(shape, row.shape, strict=True)) if a != b]
    if len(differing) != 1:
        return None
    dim = row.layout[differing[0]]
    if len(dim) != 1 or dim[0] not in binding.arch.axes:
        said = f"{shape[differing[0]]}, expected {row.shape[differing[0]]}"
        return f"dimension {differing[0]} ({'.'.join(row.told[differing[0]])}) is {said}"
    field = binding.arch.axes[dim[0]].split(" | ")[0]
    if " " in field or field.startswith("@"):
        return f"axis {dim[0]} is {shape[differing[0]]}, expected {row.shape[differing[0]]}"
    return f"{field} = {shape[differing[0]]} in config.json would fit, it says {row.shape[differing[0]]}"


def _ambiguous(row: BoundRow) -> Finding | None:
    """Rivals are only sought where parts are fused on disk: there a wrong reading passes every other proof.

    Its bias shares the weight's layout and is not said again.
    """
    if len(row.parts) < 2 or row.leaf.leaf != "weight":
        return None
    rivals = [spell(rival) for rival in _rivals(row) if _other_reading(row, rival)]
    if not rivals:
        return None
    return Finding(
        "layout.ambiguous", "info", row.pattern.text,
        f'{row.pattern.text} fits "{spell(row.told)}", and {_either(rivals)} just as well:'
        " shapes cannot tell them apart",
        {"layout": spell(row.told), "rivals": rivals, "row": row.id},
    )  # fmt: skip


def _either(rivals: list[str]) -> str:
    return " or ".join(f'"{rival}"' for rival in rivals)


def _rivals(row: BoundRow) -> list[Layout]:
    """Other places for `part` among the axes of its dimension that all parts share."""
    at = next((i for i, dim in enumerate(row.layout) if PART in dim), None)
    if at is None:
        return []
    others = [a for p in row.parts[:1] for a in p.atoms if all(a in q.atoms for q in row.parts)]
    mentioned = {a for i, dim in enumerate(row.layout) if i != at for a in dim}
    free = [a for a in others if a not in mentioned]
    places = [(PART,), *((axis, PART) for axis in free[:1])]
    return [(*row.layout[:at], place, *row.layout[at + 1 :]) for place in places]


def _other_reading(row: BoundRow, layout: Layout) -> bool:
    sizes = {p.name: {a: row.leaf.axes.size(a) for a in p.atoms} for p in row.parts}
    rival = form(layout, row.parts, sizes)
    return rival.shape == row.shape and (rival.offsets, rival.strides) != (row.form.offsets, row.form.strides)
