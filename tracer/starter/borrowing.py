"""Rows of other registered architectures, for tensors of these very names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mappings.bind import BoundRow
from mappings.names import Pattern
from mappings.rows import Architecture, Row
from mappings.sizes import ConfigError
from tracer.infer.names import Group
from tracer.starter.base import Base, base_of
from tracer.starter.draft import Draft, of_param, of_row
from tracer.starter.kinds import Kind


def borrow(
    draft: Draft, kinds: Sequence[Kind], base: Base, config: Mapping[str, Any], inferred: Mapping[str, Any],
    registered: Sequence[Architecture],
) -> list[Kind]:  # fmt: skip
    """Take over the rows that others have for some of these; the rest."""
    left = list(kinds)
    for arch in registered:
        if not left or arch.id == base.arch.id:
            continue
        groups: dict[str, Group] = {kind.group.template: kind.group for kind in left}
        try:
            other = base_of(arch, groups, config, inferred)
        except ConfigError:
            continue
        rows = {p + row.pattern.template: row for row in other.binding.rows for p in other.arch.prefixes}
        for own in _modules(left, rows):
            if _borrow(draft, own, base, other):
                left = [kind for kind in left if kind not in [taken for taken, _ in own]]
    return left


def _modules(kinds: Sequence[Kind], rows: Mapping[str, BoundRow]) -> list[list[tuple[Kind, BoundRow]]]:
    """Tensors by the parameter that they go to in the other architecture, where all of it is here."""
    by_param: dict[str, list[tuple[Kind, BoundRow]]] = {}
    for kind in kinds:
        row = rows.get(kind.group.template)
        if row is not None and row.shape == kind.shape:
            by_param.setdefault(row.leaf.param.name, []).append((kind, row))
    wanted: dict[str, int] = {}
    for row in {id(row): row for row in rows.values()}.values():
        wanted[row.leaf.param.name] = wanted.get(row.leaf.param.name, 0) + 1
    return [own for name, own in by_param.items() if len(own) == wanted[name]]


def _borrow(draft: Draft, own: Sequence[tuple[Kind, BoundRow]], base: Base, other: Base) -> bool:
    """One parameter of another architecture with its rows."""
    row = own[0][1].row
    param = row.slot.param
    axes = {axis for part in param.parts for dim in part.dims for axis in dim}
    known = set(base.arch.axes) | set(base.arch.factors)
    if param.name in {p.name for p in base.arch.params} or not axes <= known or not _alike(axes, base, other):
        return False
    holes = {hole for kind, _ in own for hole in Pattern(kind.name).holes}
    if holes != set(Pattern(param.name).holes) | (holes & axes):
        return False
    biased = any(bound.leaf.leaf == "bias" for _, bound in own)
    draft.params.append(of_param(param, f"as in {other.arch.id} ({row.source})", biased))
    draft.borrowed[param.name] = other.arch.id
    rows: dict[int, Row] = {id(bound.row): bound.row for _, bound in own}
    draft.rows += [of_row(each, each.name, each.style, f"as in {other.arch.id}") for each in rows.values()]
    return True


def _alike(axes: set[str], base: Base, other: Base) -> bool:
    """Whether an axis means the same in both: has the same size."""
    return all(base.binding.axes.size(axis) == other.binding.axes.size(axis) for axis in axes)
