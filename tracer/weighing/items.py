"""What the mapping rows say that each tensor of an index should weigh.

All tensors of one row are alike, so the sums are made by row: a `Lot`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple, TypeAlias

from mappings.bind import Binding, BoundRow
from mappings.claims import Claim
from mappings.plan import LoadPlan, Stored
from mappings.rows import Skip, Tie
from mappings.sizes import ConfigError, Sizes
from mappings.views import Shape
from tracer.checkpoint.dtypes import BITS
from tracer.checkpoint.tensor_info import TensorInfo

Class: TypeAlias = Literal["table", "norm", "bias", "vector", "small", "projection", ""]
"""What publishers keep in F32 together: tables (embeddings, head), norms, biases, other vectors, and other small
weights (routers, convolutions, parameters of state spaces); projections never by habit."""

_ANY_WIDTH = (4, 2, 1, 8)
"""Bytes an element that a mask or a rotary table has been published with, the usual ones first."""


@dataclass(frozen=True, slots=True)
class Lot:
    """The tensors of one row, tie or skip, as far as they are known without a header."""

    key: str
    dtype: str
    shape: Shape | None
    """None where nobody knows it."""
    standard: bool = False
    """Whether its data type is that of the whole checkpoint."""
    habit: Class = ""
    unsure: str = ""
    """Not empty where publishers disagree about the data type that the row states: tensors of the same word have the
    same width, that which the row states or that of the checkpoint."""
    derived: bool = False
    """Whether engines recompute it: it may have any width, and a total may leave it out."""

    @property
    def elements(self) -> int:
        return prod(self.shape or ())

    @property
    def width(self) -> int:
        """Bytes an element, as the rows have it."""
        return BITS[self.dtype] // 8

    @property
    def nbytes(self) -> int:
        """As the rows have it."""
        return -(-self.elements * BITS[self.dtype] // 8)

    def widths(self, standard: int) -> tuple[int, ...]:
        """The widths that an unsure lot may have, the stated one first."""
        return _ANY_WIDTH if self.derived else tuple(dict.fromkeys((self.width, standard)))


class Item(NamedTuple):
    """One tensor."""

    name: str
    lot: Lot
    layer: int | None = None
    real: bool = False
    """Whether a header tells it, and nothing about it is guessed."""


def items_of(plan: LoadPlan, dtype: str) -> list[Item]:
    """Every tensor of the plan, in its order. `dtype` is what standard tensors are taken to be stored in."""
    known: dict[int, Lot] = {}
    found = []
    for stored, claim in zip(plan.tensors, plan.claims, strict=True):
        if isinstance(stored, TensorInfo) and stored.file is not None:
            found.append(Item(stored.name, Lot("", stored.dtype, tuple(stored.shape)), real=True))
            continue
        lot = known.get(id(claim.owner))
        if lot is None:
            lot = known[id(claim.owner)] = _lot(plan.binding, stored, claim, dtype)
        layered = isinstance(claim.owner, BoundRow) and claim.owner.pattern.axes[:1] == ("layer",)
        found.append(Item(stored.name, lot, claim.indices[0] if layered else None))
    return found


def _lot(binding: Binding, stored: Stored, claim: Claim, dtype: str) -> Lot:
    match claim.owner:
        case BoundRow() as row:
            return _of_row(binding, row, dtype)
        case Tie(to=param) as tie:
            leaf = binding.leaf(param)
            return Lot(tie.name, dtype, leaf.whole_shape() if leaf else None, standard=True, habit="table")
        case Skip(name=name) as skip:
            elements = elements_of(binding, skip)
            return Lot(name, "F32", (elements,), unsure=name, derived=True) if elements else Lot(name, dtype, None)
    return Lot("?", dtype, None)


def _of_row(binding: Binding, row: BoundRow, dtype: str) -> Lot:
    leaf, scheme = row.leaf, binding.scheme
    scaled = scheme is not None and leaf.leaf == scheme.scale_leaf
    quantised = scheme is not None and scheme.applies(leaf.param) and leaf.leaf != "bias"
    if leaf.leaf in leaf.param.dtypes or quantised:
        certain = leaf.leaf == "weight" and not leaf.param.dtypes
        return Lot(row.id, leaf.dtype, row.shape, unsure="" if certain else "scales" if scaled else row.id)
    return Lot(row.id, dtype, row.shape, standard=True, habit=_habit(row))


def _habit(row: BoundRow) -> Class:
    if row.leaf.leaf == "bias":
        return "norm" if len(row.leaf.param.layout) == 1 else "bias"
    if len(row.shape) == 1:
        return "vector" if row.leaf.param.style == "plain" else "norm"
    if row.leaf.param.quantised:
        return "projection"
    vocabulary = any("vocab" in dim for dim in row.told)
    return "table" if vocabulary and not row.pattern.axes else "small"


def elements_of(binding: Binding, skip: Skip) -> int | None:
    """How many elements a tensor has that is not loaded; None where nobody knows, or there is no such axis."""
    try:
        return Sizes(binding.arch, binding.config).evaluate(skip.elements) if skip.elements else None
    except (ConfigError, KeyError):
        return None
