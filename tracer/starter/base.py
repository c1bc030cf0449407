"""The registered architecture that a checkpoint is most like, bound to its config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mappings.architectures import BUILT_IN
from mappings.bind import Binder, Binding, BoundRow
from mappings.claims import Claims
from mappings.names import HOLE, Indices, Pattern, blank
from mappings.rows import Architecture
from mappings.sizes import ConfigError
from tracer.infer.names import Group
from tracer.infer.names import structure as structure_of
from tracer.starter.fields import fitted

_DEEPEST = 4
"""Components of the deepest wrapper, and one."""


@dataclass(eq=False)
class Opening:
    """One leaf of one row of the base: where tensors of a checkpoint can go."""

    row: BoundRow
    name: str
    """As on disk, holes in it."""
    role: str = ""
    lacking: frozenset[Indices] = frozenset()
    """The positions without a tensor, where others have theirs; empty where none has."""

    @cached_property
    def sample(self) -> str:
        return Pattern(self.name).name(min(self.lacking) if self.lacking else next(self.row.instances()))

    @cached_property
    def _positions(self) -> frozenset[Indices]:
        return self.lacking or frozenset(self.row.instances())

    def stands_at(self, positions: Set[Indices]) -> bool:
        """Whether it has these positions and no others."""
        count = len(self.lacking) or self.row.count()
        return count == max(1, len(positions)) and self._positions == positions

    @property
    def filled(self) -> list[Indices]:
        """The positions that have a tensor by its own name."""
        return [indices for indices in self.row.instances() if indices not in self._positions]


@dataclass(eq=False)
class Base:
    """An architecture bound to a config, with what the config lacked."""

    arch: Architecture
    binding: Binding
    flags: dict[str, Any]
    open: list[Opening]
    """What no tensor of the checkpoint goes to by its own name."""
    claimed: frozenset[str]
    """Templates of the checkpoint that its rows, skips and ties claim as they are."""
    partial: Sequence[Opening] = ()
    """Rows of layers some of which have their tensors, and which are the others."""
    registered: bool = True
    """Whether a file can be `like` it, and need not state its axes."""


def bases(
    groups: Mapping[str, Group], config: Mapping[str, Any], inferred: Mapping[str, Any],
    known: Iterable[Architecture] = BUILT_IN, by_name: bool = False,
) -> list[Base]:  # fmt: skip
    """Every architecture whose sizes this config gives, those that claim most names first."""
    found = []
    for arch in known:
        try:
            found.append(base_of(arch, groups, config, inferred, by_name))
        except ConfigError:
            continue
    return sorted(found, key=lambda base: (-len(base.claimed), len(base.open)))


def base_of(
    arch: Architecture, groups: Mapping[str, Group], config: Mapping[str, Any], inferred: Mapping[str, Any],
    by_name: bool = False,
) -> Base:  # fmt: skip
    """Bind one architecture. A name is claimed where its shape is the row's too, or `by_name` alone.

    Of a fused parameter nothing is claimed where a part of it has no tensors. Raises ConfigError.
    """
    own, flags = fitted(arch, config, inferred, by_name)
    binding = Binder(own, config, 1, set(groups)).bind()
    rows = [row for row in binding.rows if row.count()]
    homes = {p + row.pattern.template: row for row in rows for p in own.prefixes}
    claims = Claims(binding)
    claimed = {t for t, group in groups.items() if _owned(claims, group) and (by_name or _fits(homes.get(t), group))}
    if not by_name:
        claimed -= _broken(homes, claimed, groups)
        claimed -= _broken(homes, claimed, groups)  # what the first pass took may have been a part of another
    filled = {id(row) for template, row in homes.items() if template in claimed}
    prefix = max(own.prefixes, key=lambda each: sum(each + row.pattern.template in groups for row in rows))
    roles = roles_of([prefix + row.pattern.name(next(row.instances())) for row in rows])
    openings = [
        Opening(row, prefix + row.pattern.text, roles.get(prefix + row.pattern.template, ""))
        for row in rows if id(row) not in filled
    ]  # fmt: skip
    partial = [
        Opening(row, prefix + row.pattern.text, roles.get(prefix + row.pattern.template, ""), lacking)
        for row in rows if id(row) in filled and (lacking := _lacking(row, groups.get(prefix + row.pattern.template)))
    ]  # fmt: skip
    return Base(own, binding, flags, openings, frozenset(claimed), partial)


def _lacking(row: BoundRow, group: Group | None) -> frozenset[Indices]:
    """Layers without the tensor of a row that other layers have; empty where a name counts more than layers."""
    if group is None or row.count() <= len(group.indices) or len(group.indices[0]) != 1:
        return frozenset()
    return frozenset(row.instances()) - frozenset(group.indices)


def _owned(claims: Claims, group: Group) -> bool:
    """Whether somebody answers for the first and the last of these names: a domain has an end."""
    if not claims.owners(group.template):
        return False
    pattern = Pattern(group.template)
    if any(len(indices) != len(pattern.holes) for indices in group.indices):
        return False  # a name with a hole of its own
    ends = {pattern.name(indices) for indices in (min(group.indices), max(group.indices))}
    return all(claim.owner is not None for claim in claims.claim(sorted(ends)))


def _fits(row: BoundRow | None, group: Group) -> bool:
    return row is None or all(shape == row.shape for shape, _ in group.shapes)


def _broken(homes: Mapping[str, BoundRow], claimed: Set[str], groups: Mapping[str, Group]) -> set[str]:
    """Names that go to a leaf of which another part has no tensors, or to a row of which another leaf does not fit."""
    filled = {id(homes[template]) for template in claimed if template in homes}
    lame = {id(row.leaf) for row in homes.values() if id(row) not in filled and len(row.leaf.parts) > 1}
    strange = {id(homes[template].row) for template in groups if template in homes and template not in claimed}
    return {
        template for template in claimed
        if template in homes and (id(homes[template].leaf) in lame or id(homes[template].row) in strange)
    }  # fmt: skip


def roles_of(samples: Sequence[str]) -> dict[str, str]:
    """Template -> role, of names of which one a kind is given."""
    groups: dict[str, Group] = {}
    for name in samples:
        template, indices = blank(name)
        groups.setdefault(template, Group(template)).indices.append(indices)
    structure_of(groups)
    return {template: group.role for template, group in groups.items()}


def wrapped(base: Base, groups: Mapping[str, Group], config: Mapping[str, Any], inferred: Mapping[str, Any]) -> Base:
    """The same with one wrapper more in front of all names, where more of them are claimed so."""
    known = {row.pattern.template for row in base.binding.rows}
    votes: Counter[str] = Counter()
    for template in groups:
        segments = template.split(".")
        for end in range(1, min(_DEEPEST, len(segments))):
            if HOLE not in segments[:end] and ".".join(segments[end:]) in known:
                votes[".".join(segments[:end]) + "."] += 1
    if not votes or votes.most_common(1)[0][1] <= len(base.claimed):
        return base
    arch = replace(base.arch, prefixes=(votes.most_common(1)[0][0], *base.arch.prefixes))
    return base_of(arch, groups, config, inferred)
