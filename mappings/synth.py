"""The plan read backwards: sizes -> the names, shapes and data types that a checkpoint of this architecture has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mappings.bind import Binding, BoundRow
from mappings.claims import Claim
from mappings.views import Shape


class Synthetic(NamedTuple):
    """A tensor that exists only as a description."""

    name: str
    dtype: str
    shape: Shape


def synthesise(binding: Binding) -> list[Synthetic]:
    """Every tensor the rows expect, in the order of the model: what comes first, layer by layer, what comes last."""
    prefix = binding.arch.prefixes[0]
    first_layered = next((k for k, row in enumerate(binding.rows) if row.pattern.axes), len(binding.rows))
    before, rest = binding.rows[:first_layered], binding.rows[first_layered:]
    layered = [(row, i) for row in rest if row.pattern.axes for i in row.instances()]
    layered.sort(key=lambda pair: pair[1][0])
    after = [(row, ()) for row in rest if not row.pattern.axes]
    found = [*((row, ()) for row in before), *layered, *after]
    return [Synthetic(prefix + row.pattern.name(i), row.leaf.dtype, row.shape) for row, i in found]


def describe(names: Sequence[str], claims: Sequence[Claim]) -> list[Synthetic]:
    """Names from an index with the shapes that their rows expect; without a row a tensor has no known shape."""
    return [_described(name, claim) for name, claim in zip(names, claims, strict=True)]


def _described(name: str, claim: Claim) -> Synthetic:
    if isinstance(claim.owner, BoundRow):
        return Synthetic(name, claim.owner.leaf.dtype, claim.owner.shape)
    return Synthetic(name, "F32", (0,))

