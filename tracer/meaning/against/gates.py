"""Gate and up against the reference's, and against each other's."""

from __future__ import annotations

import numpy as np

from mappings.findings import Finding
from tracer.meaning.against.matched import OTHER, ROWS, SAME, STATISTIC, both, cosine, spelled, unlike
from tracer.meaning.gate_up import NAME, swap
from tracer.meaning.material import Material, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked


def examine(material: Material, reference: Material) -> Meant:
    gates, ups = both(material, reference, "gate"), both(material, reference, "up")
    layers = [n for n in sorted(gates.keys() & ups.keys()) if gates[n][0].shape == ups[n][0].shape]
    if not layers:
        return not_checked(NAME, "the reference has no gate and up of the same shape")
    looked = np.array([_look(material, reference, gates[n], ups[n]) for n in layers])
    stored, (least, swapped) = float(looked[:, 0].mean()), map(float, looked.min(0))
    told = f"cosine with the reference {stored:.3f}, gate with up and up with gate {swapped:.3f}, {len(layers)} layers"
    if least >= SAME:
        return fine(NAME, told)
    if stored >= OTHER or swapped < SAME:
        return unlike(NAME, told)
    change = swap(material, ("gate", "up"))
    names = [part.name for role in ("gate", "up") for part in material.of(role).values()]
    evidence = measured(STATISTIC, stored, OTHER, len(layers), "layers", swapped=round(swapped, 4))
    message = f"{spelled(names)}: gate and up are each other: {told}"
    finding = Finding("value.gate-up-swapped", "error", names[0], message, evidence, "swap the two names")
    return found(NAME, told, finding, *([change] if change else []))


def _look(
    material: Material, reference: Material, gate: tuple[Part, Part], up: tuple[Part, Part]
) -> tuple[float, float]:
    """As stored and across, the worse of the two each."""
    mine = [material.sampled(pair[0], ROWS) for pair in (gate, up)]
    other = [reference.sampled(pair[1], ROWS) for pair in (gate, up)]
    stored = min(cosine(mine[0], other[0]), cosine(mine[1], other[1]))
    return stored, min(cosine(mine[0], other[1]), cosine(mine[1], other[0]))
