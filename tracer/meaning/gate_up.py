"""value.gate-up-swapped: whether gate and up are each other.

A row of up and its column of down may change sign together, and nothing changes: however it is trained, the rows of
up point to no side together. Those of gate do, since its activation treats the signs differently. So the statistic is
`signs.lean` of each of the two, over some rows of each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.material import Material, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.signs import lean, pooled
from tracer.repair.changes import Rename

NAME = "gate-up"
LEANS = 6.0
CHANCE = 4.0
_LAYER_LEANS = 4.5
"""Of one layer among others."""
_ROWS = 512
_KINDS = (("gate", "up"), ("expert_gate", "expert_up"), ("shared_gate", "shared_up"))
_UNGATED = frozenset({"gpt_oss"})
"""Families that add something to up, which gives it a side."""


@dataclass(frozen=True, slots=True)
class Leaning:
    """One layer."""

    layer: int
    gate: float
    up: float

    @property
    def verdict(self) -> str:
        if self.gate >= _LAYER_LEANS > CHANCE > self.up:
            return "right"
        return "swapped" if self.up >= _LAYER_LEANS > CHANCE > self.gate else "unclear"


def examine(material: Material) -> Meant:
    """Of the first expert, where there are several; every kind of pair that there is."""
    for gate_role, up_role in _KINDS:
        gate, up = material.of(gate_role), material.of(up_role)
        layers = [n for n in sorted(gate.keys() & up.keys()) if gate[n].shape == up[n].shape and min(gate[n].shape) > 1]
        if layers:
            return _of(material, gate, up, layers)
    return not_checked(NAME, "there is no layer whose gate and up are matrices, or known parts of one")


def _of(material: Material, gate: Mapping[int, Part], up: Mapping[int, Part], layers: Sequence[int]) -> Meant:
    if str(material.config.get("model_type")) in _UNGATED:
        return not_checked(NAME, "this model adds to up, so that both have a side")
    looked = [_look(material, n, gate[n], up[n]) for n in spread(layers)]
    sides = pooled([each.gate for each in looked]), pooled([each.up for each in looked])
    over = f"{len(looked)} layers"
    told = f"gate leans by {sides[0]:.1f} standard deviations, up by {sides[1]:.1f}, over {over}"
    swapped = [each.layer for each in looked if each.verdict == "swapped"]
    right = [each.layer for each in looked if each.verdict == "right"]
    if sides[1] >= LEANS and sides[0] < CHANCE:
        return _swapped(gate, up, sorted(gate.keys() & up.keys()), told, sides, len(looked))
    if swapped and right and len(swapped) + len(right) == len(looked):
        if len(looked) == len(layers):
            return _swapped(gate, up, swapped, told, sides, len(looked))
        return not_checked(NAME, f"layers differ: {swapped} lean the other way than {right}")
    if sides[0] >= LEANS and sides[1] < CHANCE and not swapped:
        return fine(NAME, told)
    return not_checked(NAME, f"rows do not tell gate from up: {told}")


def _look(material: Material, layer: int, gate: Part, up: Part) -> Leaning:
    return Leaning(layer, lean(material.sampled(gate, _ROWS)), lean(material.sampled(up, _ROWS)))


def _swapped(
    gate: Mapping[int, Part], up: Mapping[int, Part], layers: Sequence[int], told: str, sides: tuple[float, float],
    pool: int,
) -> Meant:  # fmt: skip
    names = ", ".join(text for text, _ in collapse([part[n].name for part in (gate, up) for n in layers]))
    change = swap(gate, up, layers)
    evidence = measured(
        "lean of the rows of up", sides[1], LEANS, pool, "layers", gate=round(sides[0], 3), layers=list(layers)
    )
    message = f"{names}: gate and up are each other: {told}, and only what the activation is applied to can lean"
    fix = "swap the two names" if change else "swap the two halves of the fused tensor"
    finding = Finding("value.gate-up-swapped", "error", gate[layers[0]].name, message, evidence, fix)
    return found(NAME, told, finding, *([change] if change else []))


def swap(gate: Mapping[int, Part], up: Mapping[int, Part], layers: Sequence[int]) -> Rename | None:
    """Each other's names, for all that a quantised weight consists of; None where both are one tensor."""
    names: dict[str, str] = {}
    for n in layers:
        one, other = gate[n].weight.members, up[n].weight.members
        if one.keys() != other.keys() or gate[n].name == up[n].name:
            return None
        names |= {info.name: other[leaf].name for leaf, info in one.items()}
    return Rename(names | {other: name for name, other in names.items()})
