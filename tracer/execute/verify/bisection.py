"""Where two computations of the same ids part: the first stretch of the model whose input agrees and output does not.

Both models are cut at landmarks that every decoder has: what enters the first layer, what leaves each, the hidden
states, the logits. They are found by position, so no family is known here. Inside a stretch that departs, modules that
both sides call the same narrow it down (`suspects`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tracer.execute.verify.landmarks import Landmark, Measured
from tracer.execute.verify.sources import Sources
from tracer.execute.verify.states import States
from tracer.execute.verify.suspects import Suspects, suspects
from tracer.execute.verify.tolerance import Tolerance


class Stretch(NamedTuple):
    """What lies between the last landmark that agrees and the first that does not."""

    before: Measured | None
    """None where the first departs."""
    after: Measured
    suspects: Suspects


class Bisection:
    """Compares our states with the reference's."""

    def __init__(self, ours: States, tolerance: Tolerance, sources: Sources) -> None:
        self._ours = ours
        self._tolerance = tolerance
        self._sources = sources

    def measure(self, mark: Landmark) -> Measured:
        """How far we are from the reference there."""
        own = self._ours.values[mark.ours].flatten(1)[:, mark.own]
        found = self._tolerance.measure(mark.theirs, own, mark.other)
        return Measured(mark, *found, tuple(map(self.measure, mark.inner)))

    def first(self, measured: Sequence[Measured]) -> Stretch:
        """The first stretch that departs; the last of `measured` does."""
        place = next(place for place, found in enumerate(measured) if not found.agrees)
        before, after = measured[place - 1] if place else None, measured[place]
        start = -1 if before is None else self._ours.places[before.landmark.ours]
        stop = self._ours.places[after.landmark.ours]
        shared = [self.measure(mark) for mark in self._shared(after.landmark) if self._between(mark, start, stop)]
        sound = [found.landmark for found in measured if found.landmark.layer is not None and found.agrees]
        blamed = [found for found in shared if found.agrees or not self._differs_anyway(found, after, sound)]
        owners = self._owners(start, stop)
        return Stretch(before, after, suspects(owners, self._with_inner(blamed, after.inner, owners)))

    def _with_inner(
        self, shared: Sequence[Measured], inner: Sequence[Measured], owners: Mapping[str, tuple[int, list[str]]]
    ) -> list[Measured]:  # fmt: skip
        """In order of time, products and scores as what they are the output of, the last module with parameters that
        had returned: a fused projection, a router. Of several at once the one that is furthest. A product that agrees
        clears nobody: the rows may be the right ones, and be taken for others.
        """  # fmt: skip
        found = {self._ours.places[one.landmark.ours]: one for one in shared}
        telling = [one for one in inner if not one.near or one.landmark.ours in self._ours.chosen]
        for one in sorted(telling, key=lambda one: one.distance / one.allowed):
            place = self._ours.places[one.landmark.ours]
            returned = {name: at for name, (at, _) in owners.items() if at <= place}
            if returned:
                owner = max(returned, key=lambda name: returned[name])
                found[place] = one._replace(landmark=one.landmark._replace(ours=(owner, "output")))
        return [found[place] for place in sorted(found)]

    def _between(self, mark: Landmark, start: int, stop: int) -> bool:
        return start < self._ours.places[mark.ours] <= stop

    def _shared(self, layer: Landmark) -> Iterator[Landmark]:
        """What enters and leaves the modules that both sides call the same, in order of time: those of a layer under
        its own name, others under their full one.
        """  # fmt: skip
        own, other = (f"{layer.ours[0]}.", f"{layer.theirs[0]}.") if layer.layer is not None else ("", "")
        for (module, side), found in self._ours.values.items():
            theirs = (other + module.removeprefix(own), side)
            whole = side in ("input", "output")
            if module.startswith(own) and whole and self._tolerance.comparable(theirs, found):
                yield Landmark(f"the {side} of {module}", None, (module, side), theirs)

    def _differs_anyway(self, found: Measured, layer: Measured, sound: Sequence[Landmark]) -> bool:
        """Whether a state is another thing there, as it differs in a layer that agrees as a whole."""
        if layer.landmark.layer is None:
            return False
        for one in sound:
            (own, side), (other, _) = found.landmark.ours, found.landmark.theirs
            ours = (own.replace(layer.landmark.ours[0], one.ours[0], 1), side)
            theirs = (other.replace(layer.landmark.theirs[0], one.theirs[0], 1), side)
            if ours in self._ours.values and self._tolerance.comparable(theirs, self._ours.values[ours]):
                return not self.measure(Landmark("", None, ours, theirs)).agrees
        return False

    def _owners(self, start: int, stop: int) -> dict[str, tuple[int, list[str]]]:
        """The modules with parameters that return between two places: when, and which parameters."""
        returned = {module: place for (module, side), place in self._ours.places.items() if side == "output"}
        found: dict[str, tuple[int, list[str]]] = {}
        for param in self._sources.params:
            owner = self._sources.owner(param, returned)
            if owner is not None and start < returned[owner] <= stop:
                found.setdefault(owner, (returned[owner], []))[1].append(param)
        return found
