"""value.duplicate: layers that are another layer, or nearly.

Layers that were trained from different first weights have nothing in common: the cosine of their matrices, over some
rows of each, is chance. Copies are at 1; copies that were trained on are in between, as merges of overlapping layers
have them on purpose, so that these are worth knowing and no fault.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mappings.findings import Finding
from mappings.names import runs
from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked

NAME = "duplicate"
NEAR = 0.5
"""Cosine of two layers, from which they have a past in common."""
SAME = 0.9999
_ROWS, _COLUMNS = 16, 512
_MOST = 256
"""Layers; each is compared with each."""


def examine(material: Material) -> Meant:
    """Every layer is looked at."""
    inside = material.inside()
    if len(inside) > _MOST:
        return not_checked(NAME, f"{len(inside)} layers are too many to compare each with each")
    if len(inside) < 2:
        return not_checked(NAME, "there are no two layers to compare")
    cosines = _cosines(material, inside)
    if not cosines:
        return not_checked(NAME, f"of {len(inside)} layers no two have the same matrices")
    near = {pair: value for pair, value in cosines.items() if value >= NEAR}
    highest = max(cosines.values())
    told = f"{len(inside)} layers, the most alike with a cosine of {highest:.3f}"
    if not near:
        return fine(NAME, told)
    copied = any(value >= SAME for value in near.values())
    second = max(near, key=lambda pair: near[pair])[1]
    listed = "; ".join(f"{one} and {other} ({value:.3f})" for (one, other), value in list(near.items())[:4])
    more = f" and {len(near) - 4} more" if len(near) > 4 else ""
    what = "the same" if copied else "nearly the same"
    message = (
        f"{material.names.stack}.{{{runs(layer for pair in near for layer in pair)}}}: layers are {what}, by the cosine"
        f" of their matrices: {listed}{more}; merges of overlapping layers have such, others have not"
    )
    evidence = measured(
        "cosine of two layers' matrices", highest, NEAR, len(inside), "layers", pairs=[list(p) for p in near]
    )
    subject = f"{material.names.stack}.{second}"
    return found(NAME, told, Finding("value.duplicate", "warning" if copied else "info", subject, message, evidence))


def _cosines(material: Material, inside: dict[int, list[Part]]) -> dict[tuple[int, int], float]:
    """Of every two layers that have the same matrices, the mean over these."""
    signatures = {
        layer: {part.template: _signature(material, part) for part in parts} for layer, parts in inside.items()
    }
    found = {}
    for one, other in combinations(signatures, 2):
        a, b = signatures[one], signatures[other]
        both = [name for name in a.keys() & b.keys() if a[name].shape == b[name].shape]
        if both and len(both) == len(a) == len(b):
            found[one, other] = float(np.mean([float((a[name] * b[name]).sum()) for name in both]))
    return found


def _signature(material: Material, part: Part) -> Numbers:
    """Some rows, of length 1 together."""
    rows = material.sampled(part, _ROWS)[:, :_COLUMNS]
    length = float(np.sqrt((rows.astype(np.float64) ** 2).sum()))
    return np.asarray(rows / (length or 1.0), np.float32)
