"""Square matrices against the reference's, as they lie and across."""

from __future__ import annotations

import numpy as np

from mappings.findings import Finding
from tracer.meaning.against.matched import OTHER, ROWS, STATISTIC, Cosines, both, cosine, said, spelled, unlike
from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.transposed import NAME, READ, WRITTEN
from tracer.repair.changes import Transform


def examine(material: Material, reference: Material) -> Meant:
    measures = {role: each for role in (*READ, *WRITTEN) if (each := _measure(material, reference, role)) is not None}
    if not measures:
        return not_checked(NAME, "no square matrix is in both")
    turned = {role: each for role, each in measures.items() if each.is_turned}
    if turned:
        return _found(material, measures, turned)
    if all(each.is_same for each in measures.values()):
        return fine(NAME, said(measures))
    return unlike(NAME, said(measures))


def _measure(material: Material, reference: Material, role: str) -> Cosines | None:
    square = [(a, b) for a, b in both(material, reference, role).values() if a.shape[0] == a.shape[1]]
    if not square:
        return None
    rows = [(material.sampled(a, ROWS), reference.sampled(b, ROWS)) for a, b in square]
    stored = [cosine(a, b) for a, b in rows]
    across = min(cosine(material.read(a, 0, _few(a)), _columns(reference, b)) for a, b in square)
    return Cosines(float(np.mean(stored)), min(stored), {"transposed": across}, len(square))


def _few(part: Part) -> int:
    return min(part.shape[0], ROWS)


def _columns(reference: Material, part: Part) -> Numbers:
    """The first columns, as rows."""
    return np.concatenate([piece[:, : _few(part)] for piece in reference.pieces(part)]).T


def _found(material: Material, measures: dict[str, Cosines], turned: dict[str, Cosines]) -> Meant:
    parts = [part for role in turned for part in material.of(role).values() if part.shape[0] == part.shape[1]]
    names = tuple(part.name for part in parts)
    worst = min(turned.values(), key=lambda each: each.turned["transposed"])
    across = worst.turned["transposed"]
    evidence = measured(STATISTIC, worst.stored, OTHER, worst.layers, "layers", transposed=round(across, 4))
    message = (
        f"{spelled(names)}: square, and transposed: cosine with the reference {worst.stored:.3f}, across {across:.3f}"
    )
    finding = Finding("value.transposed", "error", names[0], message, evidence, "transpose them")
    left = [role for role, each in measures.items() if role not in turned and not each.is_same]
    unchecked = f"{', '.join(left)} not like the reference's either way" if left else ""
    whole = all(part.is_plain for part in parts)
    return found(
        NAME, said(measures), finding, *([Transform(names, "transpose")] if whole else []), unchecked=unchecked
    )
