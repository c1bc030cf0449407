"""tie.conflict, value.tie-mismatch: a head that is stored beside an embedding to which config.json ties it.

A loader that ties drops the stored head. Where that is the embedding, nothing is lost; where it was trained, the model
talks nonsense without it; where it was drawn and never trained, it is well dropped. The statistic is the cosine of
their rows, the one in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mappings.findings import Finding
from tracer.meaning.drawn import DRAWN, grown, why_untrained
from tracer.meaning.material import PIECE, Material, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.repair.changes import Drop, SetField

NAME = "tied-head"
ROUNDED = 0.999
"""Cosine above which two tables are one, rounded in different ways."""
_ROWS = 1_024
_STATISTIC = "cosine of the rows of head and embedding"


@dataclass(frozen=True, slots=True)
class Compared:
    """Every row of the one against the same row of the other."""

    rows: int
    equal: bool
    cosine: float
    """Of the row in the middle."""
    apart: int
    """Rows that differ by more than rounding."""


def examine(material: Material) -> Meant:
    if not (material.names.of("head", "weight") and material.names.of("embed", "weight")):
        return fine(NAME, "there is no stored head beside an embedding")
    if material.sizes.get("tie") is not True:
        return fine(NAME, "config.json does not tie the stored head")
    head, table = material.outside("head"), material.outside("embed")
    if head is None or table is None:
        return not_checked(NAME, "which of several is the head or the embedding, or the shape of one, is not known")
    if head.shape != table.shape or 0 in head.shape:
        return not_checked(NAME, f"{head.name} and {table.name} are not of one shape, or empty")
    rows = _compare(material, head, table)
    if rows.equal:
        return fine(NAME, f"{head.name} is {table.name} in each of {rows.rows:,} rows, as config.json says")
    told = f"the middle cosine of {head.name} and {table.name} is {rows.cosine:.4f}, over {rows.rows:,} rows"
    evidence = measured(_STATISTIC, rows.cosine, ROUNDED, rows.rows, "rows", apart=rows.apart, embedding=table.name)
    what, why = _harmless(material, head, rows)
    if what:
        message = f"{head.name} {what}: {told}; config.json ties them, and a loader that ties drops it"
        finding = Finding("value.tie-mismatch", "warning", head.name, message, evidence, f"remove {head.name}")
        return found(NAME, told, finding, *([Drop((head.name,), why)] if why else []))
    message = (
        f"the stored head {head.name} is not the embedding {table.name}, and config.json ties them: {told}; a loader"
        " that ties drops it"
    )
    finding = Finding("tie.conflict", "error", head.name, message, evidence, "set tie_word_embeddings to false")
    return found(NAME, told, finding, *(SetField(field, False) for field in _fields(material)))


def _harmless(material: Material, head: Part, rows: Compared) -> tuple[str, str]:
    """What the head is, where dropping it does not spoil the model; and why it can be dropped, if it can."""
    if rows.cosine >= ROUNDED and not rows.apart:
        return "is the embedding but for rounding", "tied to the embedding, and rounded in another way"
    if rows.cosine >= ROUNDED:
        return f"differs from the embedding in {rows.apart:,} rows", ""
    if grown(material.sampled(head, _ROWS)) < DRAWN and not why_untrained(material):
        return "was drawn and never trained", "tied to the embedding, and never trained"
    return "", ""


def _compare(material: Material, head: Part, table: Part) -> Compared:
    """Both are read whole: a few rows of new tokens may be all that differs."""
    equal, cosines = True, []
    step = max(1, PIECE // head.shape[1])
    for start in range(0, head.shape[0], step):
        stop = min(start + step, head.shape[0])
        one, other = material.read(head, start, stop), material.read(table, start, stop)
        equal = equal and np.array_equal(one, other)
        lengths = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other))
        products = np.einsum("ij,ij->i", one, other)
        # Rows of zeros, as padding is, are alike.
        cosines.append(np.where(lengths > 0, products / np.maximum(lengths, 1e-30), 1.0))
    found = np.concatenate(cosines)
    return Compared(len(found), equal, float(np.median(found)), int((found < ROUNDED).sum()))


def _fields(material: Material) -> list[str]:
    """Where config.json says that they are tied; at the top where only a default does."""
    parts = [
        ("", material.config),
        *((f"{name}.", part) for name, part in material.config.items() if isinstance(part, dict)),
    ]
    said = [f"{prefix}tie_word_embeddings" for prefix, part in parts if part.get("tie_word_embeddings") is True]
    return said or ["tie_word_embeddings"]
