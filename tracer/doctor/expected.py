"""How many elements names and config.json come to together, for architectures without rows.

The equations of `tracer.infer` give the shape of every role in a decoder; towers and strange modules stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from tracer.infer.canonical import atoms_of, canonical
from tracer.infer.equations import dims_of, equations, value
from tracer.infer.families import family_of
from tracer.infer.names import Group, grouped, structure


class Expected(NamedTuple):
    """What the names should weigh."""

    elements: int
    """Of the tensors whose shape follows."""
    head: int
    """Elements of heads among them: in a pickle they may be the embedding's own."""
    unknown: list[str]
    """Templates of which nothing is known."""


def expected(config: Mapping[str, Any], names: Sequence[str]) -> Expected:
    """Count what can be counted."""
    found = structure(grouped(names, ()))
    table = equations(found, family_of(found).equations)
    atoms = atoms_of(canonical(config))
    elements = head = 0
    beside = (group for groups in (*found.towers.values(), *found.others.values()) for group in groups)
    unknown = [group.template for group in (*beside, *found.strange)]
    for group in (*found.groups, *found.drafts):
        each = _elements(group, table, atoms)
        if each is None:
            unknown.append(group.template)
            continue
        elements += each * len(group.indices)
        head += each * len(group.indices) if group.role == "head" and group.leaf == "weight" else 0
    return Expected(elements, head, unknown)


def _elements(group: Group, table: Mapping[str, str], atoms: Mapping[str, int]) -> int | None:
    dims = dims_of(group, table)
    extents = [value(form, atoms) for form in dims] if dims is not None else [None]
    return prod(extent for extent in extents if extent is not None) if None not in extents else None
