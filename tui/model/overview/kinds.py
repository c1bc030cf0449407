"""Layers of a model by what is in them: dense ones, those with experts, those of a state space, wider and narrower
ones, folded losslessly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mappings.names import HOLE
from tracer.infer.names import Group, Structure
from tui.model.overview.widths import ShapeOf, Width, widths

_DERIVED = ("inv_freq", "mask")
"""Roles of what is recomputed: that some layers store it makes them no other kind."""


@dataclass(frozen=True)
class Kind:
    """Layers with the same modules, of the same widths."""

    layers: tuple[int, ...]
    roles: frozenset[str]
    modules: frozenset[str]
    strange: tuple[str, ...] = ()
    """Modules of which nothing is known."""
    differs: str = ""
    """What it has or lacks against the commonest kind."""
    widths: tuple[Width, ...] = ()
    """Of its weights those that other layers have in another shape."""


def kinds(names: Structure, shape_of: ShapeOf) -> list[Kind]:
    """In the order of their first layers."""
    modules: dict[int, set[str]] = {}
    roles: dict[str, str] = {}
    for group in _in_layers(names):
        roles[group.module] = group.role
        for layer in {indices[0] for indices in group.indices if indices}:
            modules.setdefault(layer, set()).add(group.module)
    own = widths(names, shape_of)
    same: dict[tuple[frozenset[str], tuple[Width, ...]], list[int]] = {}
    for layer in sorted(modules):
        same.setdefault((frozenset(modules[layer]), own.get(layer, ())), []).append(layer)
    counted: Counter[frozenset[str]] = Counter()
    for (held, _), layers in same.items():
        counted[held] += len(layers)
    common = counted.most_common(1)[0][0] if counted else frozenset()
    return [
        Kind(
            tuple(layers), frozenset(filter(None, (roles[module] for module in held))), held,
            tuple(sorted(module for module in held if not roles[module])), _difference(held, common), wide,
        )
        for (held, wide), layers in same.items()
    ]  # fmt: skip


def _in_layers(names: Structure) -> Iterator[Group]:
    for group in (*names.groups, *names.strange):
        if group.stack and group.stack == names.stack and group.role not in _DERIVED:
            yield group


def _difference(own: frozenset[str], common: frozenset[str]) -> str:
    more, less = sorted(own - common), sorted(common - own)
    told = [f"with {_few(more)}"] * bool(more) + [f"without {_few(less)}"] * bool(less)
    return "; ".join(told)


def _few(modules: Sequence[str]) -> str:
    shown = ", ".join(module.replace(HOLE, "*") for module in modules[:3])
    return shown + (f" and {len(modules) - 3} more" if len(modules) > 3 else "")


def stacks(names: Structure) -> list[tuple[str, int, int]]:
    """What stands beside the layers: its name, its layers (0 for none), its tensors."""
    found = [(name, _layers(groups), _tensors(groups)) for name, groups in names.others.items()]
    found += [(name, 0, _tensors(groups)) for name, groups in names.towers.items()]
    if names.drafts:
        found.append(("layers that draft tokens", _layers(names.drafts), _tensors(names.drafts)))
    rest: Counter[str] = Counter()
    for group in names.strange:
        if not group.stack or group.stack != names.stack:
            rest[group.template.split(".")[0]] += len(group.indices)
    return [*found, *((name, 0, count) for name, count in rest.items())]


def _layers(groups: Sequence[Group]) -> int:
    return len({layer for group in groups if group.stack for layer in group.layers})


def _tensors(groups: Sequence[Group]) -> int:
    return sum(len(group.indices) for group in groups)
