"""Norms against the reference's of the same names: whether they differ by 1 beside what the conventions differ by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mappings.findings import Finding
from tracer.meaning.against.matched import spelled, unlike
from tracer.meaning.conventions import adds_one
from tracer.meaning.material import Material
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.norm_offset import KINDS, NAME
from tracer.repair.changes import Transform

_APART = 0.25
"""More than a fine-tune changes any norm by, in the middle of its numbers."""
_NEAR = 0.1
"""How far from 1 an offset may be."""


def examine(material: Material, reference: Material) -> Meant:
    mine, theirs = (adds_one(each.checkpoint, each.config) for each in (material, reference))
    known = mine is not None and theirs is not None
    expected = float(bool(theirs)) - float(bool(mine)) if known else 0.0
    differences = np.array(list(_differences(material, reference))) - expected
    if not len(differences):
        return not_checked(NAME, "the reference has no norms under the same names")
    middle, least, most = (float(np.quantile(differences, at)) for at in (0.5, 0, 1))
    told = f"{len(differences)} norms differ from the reference's by {middle:+.3f} in the middle"
    if max(-least, most) <= _APART:
        return fine(NAME, told)
    if abs(abs(middle) - 1) > _NEAR or max(middle - least, most - middle) > _APART:
        return unlike(NAME, f"{told}, from {least:+.3f} to {most:+.3f}")
    names = tuple(part.name for held in material.vectors(*KINDS).values() for part in held)
    amount = -float(np.sign(middle))
    evidence = measured(
        "middle difference from the reference", middle, _APART, len(differences), "norms", amount=amount
    )
    what = "1 was added" if middle > 0 else "1 was taken away"
    message = f"{spelled(names)}: {told}: {what}"
    finding = Finding("value.norm-offset", "error", names[0], message, evidence, f"add {amount:g} to each")
    return found(NAME, told, finding, Transform(names, "add", amount=amount))


def _differences(material: Material, reference: Material) -> Iterator[float]:
    others = {part.name: part for held in reference.vectors(*KINDS).values() for part in held}
    for held in material.vectors(*KINDS).values():
        for part in held:
            other = others.get(part.name)
            if other is not None and other.shape == part.shape:
                yield float(np.median(material.read(part) - reference.read(other)))
