"""How many elements names and config.json come to together, for architectures without rows.

The equations of `tracer.infer` give the shape of every role in a decoder, `towers` those of the usual towers; strange
modules stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from mappings.names import HOLE
from tracer.doctor.towers import atoms_of_towers, elements_of
from tracer.infer.canonical import atoms_of, canonical
from tracer.infer.equations import dims_of, equations, value
from tracer.infer.families import family_of
from tracer.infer.names import Group, Structure, grouped, structure

Weighed = list[tuple[Group, int | None]]
"""Elements of each tensor of a group, where they are known."""


class Expected(NamedTuple):
    """What the names should weigh."""

    elements: int
    """Of the tensors whose shape follows."""
    head: int
    """Elements of heads among them: in a pickle they may be the embedding's own."""
    unknown: list[str]
    """Templates of which nothing is known."""
    tensors: int
    """How many those are."""


def expected(config: Mapping[str, Any], names: Sequence[str]) -> Expected:
    """Count what can be counted."""
    found = structure(grouped(names, ()))
    table = equations(found, family_of(found).equations)
    atoms = atoms_of(canonical(config))
    weighed: Weighed = [(group, None) for groups in found.others.values() for group in groups]
    weighed += [(group, None) for group in found.strange]
    weighed += [
        (group, _elements(group, table, atoms) if _is_own(group, found) else None)
        for group in (*found.groups, *found.drafts)
    ]  # fmt: skip
    weighed += _of_towers(config, found, atoms.get("hidden"))
    unknown = [group for group, each in weighed if each is None]
    return Expected(
        sum(each * len(group.indices) for group, each in weighed if each is not None),
        sum(each * len(group.indices) for group, each in weighed if each is not None and _is_head(group)),
        [group.template for group in unknown], sum(len(group.indices) for group in unknown),
    )  # fmt: skip


def _of_towers(config: Mapping[str, Any], found: Structure, hidden: int | None) -> Weighed:
    atoms = atoms_of_towers(config, hidden, (group for groups in found.towers.values() for group in groups))
    return [
        (group, elements_of(tower, group, atoms)) for tower, groups in found.towers.items() for group in groups
    ]  # fmt: skip


def _is_own(group: Group, found: Structure) -> bool:
    """Whether a tensor outside of the layers is the decoder's, and not of something else that has layers."""
    root = group.template.partition(".")[0]
    others = {each.template.partition(".")[0] for each in found.strange if HOLE in each.template.split(".")}
    return root == found.stack.partition(".")[0] or root not in others


def _is_head(group: Group) -> bool:
    return group.role == "head" and group.leaf == "weight"


def _elements(group: Group, table: Mapping[str, str], atoms: Mapping[str, int]) -> int | None:
    dims = dims_of(group, table)
    extents = [value(form, atoms) for form in dims] if dims is not None else [None]
    return prod(extent for extent in extents if extent is not None) if None not in extents else None
