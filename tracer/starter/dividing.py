"""Rows whose tensors have another name in some layers: one row for these layers, and one for the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mappings.rows import Row
from tracer.starter.adopting import name_differs, renamed_row
from tracer.starter.base import Base
from tracer.starter.draft import Draft, of_row
from tracer.starter.kinds import Kind, domain_of
from tracer.starter.pairing import Pair


def divide(draft: Draft, pairs: Iterable[Pair], base: Base, domains: dict[str, Sequence[int]]) -> list[Kind]:
    """Write both rows in the place of the one; the tensors of rows that could not be divided.

    `domains` gains the layers of either that no domain has yet.
    """
    by_row: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_row.setdefault(id(pair.opening.row.row), []).append(pair)
    refused: list[Kind] = []
    for own in by_row.values():
        if not _divide(draft, own, base, domains):
            refused += [pair.kind for pair in own]
    return refused


def _divide(draft: Draft, pairs: Sequence[Pair], base: Base, domains: dict[str, Sequence[int]]) -> bool:
    """All leaves of a row change their name in the same layers, or the row stays as it is."""
    row = pairs[0].opening.row.row
    leaves = {bound.leaf.leaf for bound in base.binding.rows if bound.row is row and bound.count()}
    places = {pair.opening.lacking for pair in pairs}
    new = renamed_row(row, pairs, f"{row.name} under another name in some layers")
    if new is None or leaves != {pair.opening.row.leaf.leaf for pair in pairs} or len(places) > 1:
        return False
    filled = sorted(layer for (layer,) in pairs[0].opening.filled)
    draft.rows += [new, of_row(row, _in_layers(row, domain_of("layer", filled, domains)), row.style, "in the others")]
    if name_differs(draft, row.name):
        draft.removes.append((row.name, ""))
    return True


def _in_layers(row: Row, domain: str) -> str:
    """The name of a row with another domain in its only hole."""
    return ".".join(f"{{{domain}}}" if segment.startswith("{") else segment for segment in row.name.split("."))
