"""Places that two models of one checkpoint both pass, whatever their modules are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.execute.verify.points import HIDDEN, LOGITS
from tracer.execute.verify.projections import Projection
from tracer.execute.verify.states import Spot, States
from tracer.execute.verify.tolerance import Tolerance


class Landmark(NamedTuple):
    """A place that both models pass."""

    told: str
    """`the output of layer 3`."""
    layer: int | None
    """The layer that ends here."""
    ours: Spot
    theirs: Spot
    inner: tuple[Landmark, ...] = ()
    """Of a layer: the scores that experts are chosen by within it, what those give, and products of single tensors."""
    own: slice = slice(None)
    """Columns of the state here, (tokens, columns)."""
    other: slice = slice(None)
    """The same columns there."""


class Measured(NamedTuple):
    """One of them, compared."""

    landmark: Landmark
    distance: float
    allowed: float
    inner: tuple[Measured, ...] = ()

    @property
    def near(self) -> bool:
        """Whether its own state is no further than is allowed."""
        return self.distance <= self.allowed

    @property
    def agrees(self) -> bool:
        """And whether what lies within is: a state may hide what it was made of, and the choice of experts, which is
        the same on both sides, what it follows from.
        """  # fmt: skip
        return self.near and all(found.near for found in self.inner)


class Unaligned(Exception):
    """Why two models' logits cannot be put beside each other."""


def landmarks(
    ours: States, theirs: States, tolerance: Tolerance, products: Sequence[Projection]
) -> tuple[list[Landmark], str]:  # fmt: skip
    """In order, up to the logits; or these alone, and why the others cannot be compared. Raises Unaligned."""
    *inner, logits = _marks(ours, theirs, products)
    why_not = _mismatch(logits, ours, tolerance)
    if why_not:
        raise Unaligned(why_not)
    if len(ours.layers) != len(theirs.layers):
        return [logits], f"{len(ours.layers)} here, {len(theirs.layers)} there"
    why_not = next(filter(None, (_mismatch(mark, ours, tolerance) for mark in inner)), "")
    return ([logits] if why_not else [*inner, logits]), why_not


def _mismatch(mark: Landmark, ours: States, tolerance: Tolerance) -> str:
    if mark.ours not in ours.values:
        return f"{mark.told} was not seen here"
    if tolerance.comparable(mark.theirs, ours.values[mark.ours]):
        return ""
    return f"{mark.told} was not seen there in this shape"


def _marks(ours: States, theirs: States, products: Sequence[Projection]) -> Iterator[Landmark]:
    if ours.layers and theirs.layers:
        yield Landmark("the output of the embeddings", None, (ours.layers[0], "input"), (theirs.layers[0], "input"))
    for number, (own, other) in enumerate(zip(ours.layers, theirs.layers, strict=False)):
        within = [product for product in products if product.ours.startswith(f"{own}.")]
        inner = [*_routers(number, _choices(ours, own), _choices(theirs, other)), *map(_product, within)]
        fit = tuple(mark for mark in inner if _fits(mark, ours, theirs))
        yield Landmark(f"the output of layer {number}", number, (own, "output"), (other, "output"), fit)
    yield Landmark("the output of the final norm", None, (HIDDEN, "output"), (HIDDEN, "output"))
    yield Landmark("the output of the head", None, (LOGITS, "output"), (LOGITS, "output"))


def _routers(number: int, ours: Sequence[Spot], theirs: Sequence[Spot]) -> Iterator[Landmark]:
    for own, other in zip(ours, theirs, strict=False):
        yield Landmark(f"what chooses experts in layer {number}", number, own, other)
        yield Landmark(f"the output of the experts in layer {number}", number, _around(own), _around(other))


def _around(choice: Spot) -> Spot:
    """What the module gives that holds the router and the experts."""
    return choice[0].rpartition(".")[0], "output"


def _product(found: Projection) -> Landmark:
    told = f"the output of {found.theirs}"
    return Landmark(told, None, (found.ours, "rows"), (found.theirs, "rows"), (), found.own, found.other)


def _fits(mark: Landmark, ours: States, theirs: States) -> bool:
    """Whether both sides have seen it."""
    if mark.ours not in ours.values or mark.theirs not in theirs.values:
        return False
    own = ours.values[mark.ours].flatten(1)[:, mark.own]
    other = theirs.values[mark.theirs].flatten(1)[:, mark.other]
    return own.shape == other.shape and bool(own.numel())


def _choices(states: States, layer: str) -> list[Spot]:
    """Where a layer chooses experts, in order of time."""
    return [spot for spot in states.chosen if spot[0].startswith(f"{layer}.")]
