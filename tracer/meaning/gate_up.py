"""value.gate-up-swapped: whether gate and up are each other.

A row of up and its column of down may change sign together, and nothing changes: however it is trained, the rows of
up point to no side together. Those of gate do, since its activation treats the signs differently. So the statistic is
`signs.lean` of each of the two, over some rows of each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.conventions import model_type
from tracer.meaning.material import Material, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.signs import lean, pooled
from tracer.repair.changes import Rename

NAME = "gate-up"
LEANS = 6.0
CHANCE = 4.0
_LAYER_LEANS = 4.5
"""Of one layer among others."""
_DOUBT = 2.5
_ROWS = 512
KINDS = {
    ("gate", "up"): "layers", ("expert_gate", "expert_up"): "layers, the first expert of each",
    ("shared_gate", "shared_up"): "layers, the shared expert of each",
}  # fmt: skip
"""Roles -> what of them is looked at."""
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
    """Of the kind that most layers have: dense, or the first expert of each layer, or the shared one."""
    if model_type(material.config) in _UNGATED:
        return not_checked(NAME, "this model adds to up, so that both have a side")
    kind = max(KINDS, key=lambda roles: len(_layers(material, roles)))
    layers = _layers(material, kind)
    if not layers:
        return not_checked(NAME, "there is no layer whose gate and up are matrices, or known parts of one")
    gate, up = (material.of(role) for role in kind)
    looked = [_look(material, n, gate[n], up[n]) for n in spread(layers)]
    sides = pooled([each.gate for each in looked]), pooled([each.up for each in looked])
    told = f"gate leans by {sides[0]:.1f} standard deviations, up by {sides[1]:.1f}, over {len(looked)} {KINDS[kind]}"
    swapped = [each.layer for each in looked if each.verdict == "swapped"]
    right = [each.layer for each in looked if each.verdict == "right"]
    if sides[1] >= LEANS and sides[0] < CHANCE:
        return _found(material, kind, None, told, looked)
    if swapped and right and len(swapped) + len(right) == len(looked) == len(layers):
        return _found(material, kind, swapped, told, looked)
    if sides[0] >= LEANS and sides[1] < CHANCE and not swapped:
        doubtful = [each.layer for each in looked if each.up >= max(_DOUBT, each.gate)]
        return fine(NAME, told, f"layers {doubtful} may be the other way round" if doubtful else "")
    return not_checked(NAME, f"rows do not tell gate from up: {told}; layers the other way round: {swapped}")


def _layers(material: Material, roles: tuple[str, str]) -> list[int]:
    gate, up = (material.of(role) for role in roles)
    return [n for n in sorted(gate.keys() & up.keys()) if gate[n].shape == up[n].shape and min(gate[n].shape) > 1]


def _look(material: Material, layer: int, gate: Part, up: Part) -> Leaning:
    return Leaning(layer, lean(material.sampled(gate, _ROWS)), lean(material.sampled(up, _ROWS)))


def _found(
    material: Material, roles: tuple[str, str], layers: Sequence[int] | None, told: str, looked: Sequence[Leaning]
) -> Meant:
    """In these layers, or in all of them."""
    change = swap(material, roles, layers)
    names = [part.name for role in roles for n, part in material.of(role).items() if layers is None or n in layers]
    bad = [each for each in looked if layers is None or each.layer in layers]
    evidence = measured(
        "lean of the rows of up", pooled([each.up for each in bad]), LEANS, len(bad), "layers",
        gate=round(pooled([each.gate for each in bad]), 3), layers=[each.layer for each in bad],
    )  # fmt: skip
    spelled = ", ".join(text for text, _ in collapse(names))
    message = f"{spelled}: gate and up are each other: {told}, and only what the activation is applied to can lean"
    fix = "swap the two names" if change else "swap the two halves of the fused tensor"
    finding = Finding("value.gate-up-swapped", "error", names[0], message, evidence, fix)
    return found(NAME, told, finding, *([change] if change else []))


def swap(material: Material, roles: tuple[str, str], layers: Sequence[int] | None = None) -> Rename | None:
    """Each other's names, of all experts, biases and scales too; None where both are parts of one tensor."""
    names: dict[str, str] = {}
    for leaf in ("weight", "bias"):
        gate, up = (material.every(role, leaf) for role in roles)
        for place in sorted(gate.keys() & up.keys()):
            one, other = gate[place].members, up[place].members
            if one.keys() != other.keys():
                return None
            if layers is None or place[0] in layers:
                names |= {info.name: other[member].name for member, info in one.items()}
    return Rename(names | {other: name for name, other in names.items()}) if names else None
