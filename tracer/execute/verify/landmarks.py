"""Places that two models of one checkpoint both pass, whatever their modules are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.execute.verify.points import HIDDEN, LOGITS
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


class Measured(NamedTuple):
    """One of them, compared."""

    landmark: Landmark
    distance: float
    allowed: float

    @property
    def agrees(self) -> bool:
        return self.distance <= self.allowed


class Unaligned(Exception):
    """Why two models' logits cannot be put beside each other."""


def landmarks(ours: States, theirs: States, tolerance: Tolerance) -> tuple[list[Landmark], str]:
    """In order, up to the logits; or these alone, and why the others cannot be compared. Raises Unaligned."""
    *inner, logits = _marks(ours.layers, theirs.layers)
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


def _marks(ours: Sequence[str], theirs: Sequence[str]) -> Iterator[Landmark]:
    if ours and theirs:
        yield Landmark("the output of the embeddings", None, (ours[0], "input"), (theirs[0], "input"))
    for number, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        yield Landmark(f"the output of layer {number}", number, (own, "output"), (other, "output"))
    yield Landmark("the output of the final norm", None, (HIDDEN, "output"), (HIDDEN, "output"))
    yield Landmark("the output of the head", None, (LOGITS, "output"), (LOGITS, "output"))
