"""What the mapping rows say that each tensor of an index should weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from mappings.axes import parse
from mappings.bind import Binding, BoundRow, Leaf
from mappings.claims import Claim
from mappings.plan import LoadPlan, Stored
from mappings.rows import Skip, Tie
from mappings.views import Shape
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.weighing.bands import EVERYTHING, Band

_WIDEST = 8
"""Bytes an element of the widest data type."""


@dataclass(frozen=True, slots=True)
class Item:
    """One tensor, as far as it is known without its header."""

    name: str
    row: str
    """What its likes have in common: the row, the tie or the skip that claims it; empty where a header tells all."""
    dtype: str
    shape: Shape | None
    """None where nobody knows it; for a `derived` one as large as it can be."""
    standard: bool = False
    """Whether its data type is that of the whole checkpoint."""
    certain: bool = True
    """Whether it must have its data type: where rows state one, publishers still disagree (a router's bias)."""
    derived: bool = False

    @property
    def width(self) -> int:
        """Bytes an element, as the rows or the header have it."""
        return BITS[self.dtype] // 8

    def nbytes(self, width: int) -> Band:
        """What it weighs, if standard tensors have `width` bytes an element."""
        if self.shape is None:
            return EVERYTHING
        if self.derived:
            return Band(0, prod(self.shape) * _WIDEST)
        if not self.certain:
            return Band(prod(self.shape), prod(self.shape) * max(4, self.width))
        weight = prod(self.shape) * width if self.standard else -(-prod(self.shape) * BITS[self.dtype] // 8)
        return Band(weight, weight)


def items_of(plan: LoadPlan, dtype: str) -> list[Item]:
    """Every tensor of the plan, in its order. `dtype` is what standard tensors are taken to be stored in."""
    pairs = zip(plan.tensors, plan.claims, strict=True)
    return [_item(plan.binding, stored, claim, dtype) for stored, claim in pairs]


def _item(binding: Binding, stored: Stored, claim: Claim, dtype: str) -> Item:
    if isinstance(stored, TensorInfo) and stored.file is not None:
        return Item(stored.name, "", stored.dtype, tuple(stored.shape))
    match claim.owner:
        case BoundRow() as row:
            standard = _standard(binding, row.leaf)
            certain = standard or (row.leaf.leaf == "weight" and not row.leaf.param.dtypes)
            return Item(stored.name, row.id, dtype if standard else row.leaf.dtype, row.shape, standard, certain)
        case Tie(to=param):
            leaf = binding.leaf(param)
            shape = leaf.whole_shape() if leaf else None
            return Item(stored.name, _row(claim), dtype, shape, standard=True)
        case Skip(at_most=str(layout)):
            return Item(stored.name, _row(claim), "F32", _extent(binding, layout), derived=True)
    return Item(stored.name, _row(claim), dtype, None)


def _row(claim: Claim) -> str:
    owner = claim.owner
    return owner.id if isinstance(owner, BoundRow) else owner.name if owner else ""


def _standard(binding: Binding, leaf: Leaf) -> bool:
    scheme = binding.scheme
    quantised = scheme is not None and scheme.applies(leaf.param) and leaf.leaf != "bias"
    return leaf.leaf not in leaf.param.dtypes and not quantised


def _extent(binding: Binding, layout: str) -> Shape | None:
    """A layout in numbers; None where this architecture has no such axis."""
    dims, known = parse(layout), {*binding.arch.axes, *binding.arch.factors}
    return tuple(binding.axes.extent(dim) for dim in dims) if all(a in known for dim in dims for a in dim) else None


def reshaped(items: Sequence[Item], binding: Binding) -> list[Item]:
    """The same tensors with the shapes that another config.json would give them."""
    tied = {tie.name: leaf.whole_shape() for tie in binding.ties if (leaf := binding.leaf(tie.to))}
    shapes: Mapping[str, Shape] = {row.id: row.shape for row in binding.rows} | tied
    return [replace(item, shape=shapes[item.row]) if item.row in shapes else item for item in items]
