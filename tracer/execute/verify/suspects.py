"""Which parameters may have brought a stretch of the model astray, seen from the states inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tracer.execute.verify.landmarks import Measured


class Suspects(NamedTuple):
    """The parameters, and what speaks against them."""

    params: list[str]
    agreeing: Measured | None = None
    """What entered the module whose output is the first that departs."""
    departing: Measured | None = None
    """The first state inside that departs."""


def suspects(owners: Mapping[str, tuple[int, list[str]]], shared: Sequence[Measured]) -> Suspects:
    """`owners`: the modules with parameters, when each returned, and which parameters. `shared`: in order of time,
    what enters and leaves those modules that the reference has under the same name.

    Time is not dependence: a query norm that agrees says nothing of the values computed before it. So a module is
    cleared only by an output of its own that agrees, or of a module around it where its own is not seen to depart.
    Where the first state that departs is an output whose input agrees, it is that module; else one that returned before
    it, and first those beside it.
    """  # fmt: skip
    cleared = [f"{found.landmark.ours[0]}." for found in shared if found.agrees and found.landmark.ours[1] == "output"]
    wrong = {found.landmark.ours[0] for found in shared if not found.agrees and found.landmark.ours[1] == "output"}
    left = {
        name: told for name, told in owners.items() if name in wrong or not f"{name}.".startswith(tuple(cleared))
    }  # fmt: skip
    first = next((found for found in shared if not found.agrees and _owned(found, owners)), None)
    if first is None:
        return Suspects(_params(left))
    module, side = first.landmark.ours
    before = next((found for found in shared if found.landmark.ours == (module, "input")), None)
    if side == "output" and before is not None and before.agrees:
        return Suspects(left[module][1], before, first)
    place = owners[module][0]
    earlier = {name: told for name, told in left.items() if told[0] < place or (name == module and side == "output")}
    beside = {name: told for name, told in earlier.items() if _parent(name) == _parent(module)}
    return Suspects(_params(beside or earlier or left), None, first)


def _owned(found: Measured, owners: Mapping[str, object]) -> bool:
    """Modules around others may return more there than here: BLOOM's attention adds the residual itself."""
    return found.landmark.ours[0] in owners


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _params(owners: Mapping[str, tuple[int, list[str]]]) -> list[str]:
    return [param for _, params in owners.values() for param in params]
