"""Which tensors of two dialects are one another, by the rows of both: GGUF's names against those of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from mappings.bind import Binding, BoundRow
from mappings.claims import Claims
from mappings.registry import choose
from mappings.sizes import ConfigError

Slot: TypeAlias = tuple[str, tuple[str, ...], tuple[tuple[str, int], ...]]
"""A parameter's leaf, the parts of it, and the positions of the holes in the name that fills it."""


def by_rows(
    a: Iterable[str], b: Iterable[str], config_a: Mapping[str, object], config_b: Mapping[str, object]
) -> tuple[str, dict[str, str]]:  # fmt: skip
    """The architecture, and A's names with B's where rows of two dialects fill one slot with them; else nothing."""
    names_a, names_b = list(a), list(b)
    one, other = _bound(config_a, names_a), _bound(config_b, names_b)
    if one is None or other is None or one.arch.name != other.arch.name or one.arch.id == other.arch.id:
        return "", {}
    slots = {slot: name for name, slot in _slots(other, names_b).items()}
    same = {name: slots[slot] for name, slot in _slots(one, names_a).items() if slot in slots}
    return one.arch.name, same


def _bound(config: Mapping[str, object], names: list[str]) -> Binding | None:
    try:
        return choose(config, names, 1, "BF16").binding
    except ConfigError:
        return None


def _slots(binding: Binding, names: list[str]) -> dict[str, Slot]:
    """What each loaded name fills."""
    found: dict[str, Slot] = {}
    for name, claim in zip(names, Claims(binding).claim(names), strict=True):
        owner = claim.owner
        if isinstance(owner, BoundRow):
            parts = tuple(part.name for part in owner.parts)
            held = tuple(sorted(zip(owner.pattern.axes, claim.indices, strict=False)))
            found[name] = owner.leaf.pattern.text, parts, held
    return found
