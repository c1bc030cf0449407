"""tie.conflict, value.tie-mismatch: a head that is stored beside an embedding to which config.json ties it.

A loader that ties drops the stored head. Where that is the embedding, nothing is lost; where it was trained, the model
talks nonsense without it; where it was drawn and never trained, it is well dropped. The statistic is the cosine of
their rows, over some of them.
"""

from __future__ import annotations

import numpy as np

from mappings.findings import Finding
from tracer.meaning.drawn import DRAWN, grown
from tracer.meaning.material import Material, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.repair.changes import Drop, SetField

NAME = "tied-head"
ROUNDED = 0.999
"""Cosine above which two tables are one, rounded in different ways."""
_ROWS = 2_048
_STATISTIC = "cosine of the rows of head and embedding"


def examine(material: Material) -> Meant:
    head, table = material.outside("head"), material.outside("embed")
    tied = material.sizes.get("tie")
    if head is None or table is None:
        return fine(NAME, "there is no stored head beside an embedding")
    if tied is not True:
        return fine(NAME, f"config.json does not tie {head.name}")
    if head.shape[1] != table.shape[1]:
        return not_checked(NAME, f"{head.name} and {table.name} are not of one width")
    count = min(head.shape[0], table.shape[0])
    one, other = (material.sampled(Part(part.weight, 0, count), _ROWS) for part in (head, table))
    cosine = _cosine(one, other)
    told = f"cosine of {head.name} and {table.name} {cosine:.4f}, over {len(one):,} rows"
    if np.array_equal(one, other):
        return fine(NAME, f"{head.name} is {table.name}, over {len(one):,} rows")
    evidence = measured(_STATISTIC, cosine, ROUNDED, len(one), "rows", head=head.name, embedding=table.name)
    if cosine >= ROUNDED:
        message = f"{head.name} is {table.name} but for rounding ({told}): config.json ties them, and one is dropped"
        finding = Finding("value.tie-mismatch", "warning", head.name, message, evidence, f"remove {head.name}")
        return found(NAME, told, finding, Drop((head.name,), "tied to the embedding, and rounded in another way"))
    value = grown(one)
    if value < DRAWN:
        message = f"{head.name} was drawn and never trained ({value:.1f} standard deviations), and config.json ties it"
        finding = Finding("value.tie-mismatch", "warning", head.name, message, evidence, f"remove {head.name}")
        return found(NAME, told, finding, Drop((head.name,), "tied to the embedding, and never trained"))
    message = (
        f"the stored head {head.name} is not the embedding {table.name}, and config.json ties them: {told}; it was"
        " trained, and a loader that ties drops it"
    )
    finding = Finding("tie.conflict", "error", head.name, message, evidence, "set tie_word_embeddings to false")
    return found(NAME, told, finding, *(SetField(field, False) for field in _fields(material)))


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.sqrt((one.astype(np.float64) ** 2).sum(1) * (other.astype(np.float64) ** 2).sum(1))
    return float(np.median((one * other).sum(1) / np.maximum(lengths, 1e-30)))


def _fields(material: Material) -> list[str]:
    """Where config.json says that they are tied; at the top where only a default does."""
    parts = [
        ("", material.config),
        *((f"{name}.", part) for name, part in material.config.items() if isinstance(part, dict)),
    ]
    said = [f"{prefix}tie_word_embeddings" for prefix, part in parts if part.get("tie_word_embeddings") is True]
    return said or ["tie_word_embeddings"]
