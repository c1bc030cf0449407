"""A fit told in words: which shape is what, what speaks for it, and which way round matrices are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tracer.infer.shapes.forward import repeats, shape_of
from tracer.infer.shapes.guess import Assignment, Shape
from tracer.infer.shapes.signature import Role, key
from tracer.infer.shapes.solve import Fit


class Placed(NamedTuple):
    """A role of a family with the shape and the number of its tensors."""

    role: Role
    shape: Shape
    number: int


def placed(fit: Fit) -> Iterator[Placed]:
    """The roles of a fit whose widths are known."""
    for role in fit.family.roles:
        if role.tag in ("", *fit.tags):
            try:
                yield Placed(role, shape_of(role, fit.widths), len(role.names) * repeats(role, fit.widths))
            except ValueError:
                continue


def orientation(fit: Fit, counts: Mapping[Shape, int]) -> tuple[float, float]:
    """The shares of a layer's oblong matrices that are stored as the family says, and the other way round."""
    wanted: Counter[Shape] = Counter()
    for each in placed(fit):
        if each.role.repeat and len(each.shape) in (2, 3) and each.shape[-1] != each.shape[-2]:
            wanted[each.shape] += each.number
    total = sum(wanted.values())
    if not total:
        return 1.0, 0.0
    straight = sum(min(count, counts.get(shape, 0)) for shape, count in wanted.items())
    turned = sum(min(count, counts.get(_turned(shape), 0)) for shape, count in wanted.items())
    return straight / total, turned / total


def _turned(shape: Shape) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2])


def assignments(fit: Fit, counts: Mapping[Shape, int]) -> tuple[Assignment, ...]:
    """Every shape with its probable roles, the most numerous first."""
    turned = _is_turned(orientation(fit, counts))
    roles: dict[Shape, list[Placed]] = {}
    for each in placed(fit):
        roles.setdefault(key(each.shape), []).append(each)
    found = [_assigned(shape, count, roles.get(key(shape), []), turned, fit) for shape, count in counts.items()]
    return tuple(sorted(found, key=lambda a: (-a.count, a.shape)))


def _is_turned(shares: tuple[float, float]) -> bool:
    return shares[1] > shares[0]


def _assigned(shape: Shape, count: int, same: list[Placed], turned: bool, fit: Fit) -> Assignment:
    """Of the roles that have a shape either way round, those that have it this way, if any."""
    own = [p for p in same if (_turned(p.shape) if turned and p.role.repeat and len(p.shape) > 1 else p.shape) == shape]
    taken = own or same
    names = tuple(dict.fromkeys(name for p in taken for name in p.role.names))
    alone = bool(taken) and all(not p.role.repeat for p in taken)
    told = (" and " if alone else " or ").join(names)
    if "head" in names and "embedding" in names:
        told += " (untied)"
    there = sum(p.number for p in taken)
    return Assignment(shape, count, names, told, max(0, count - there))


def evidence(fit: Fit, counts: Mapping[Shape, int]) -> tuple[str, ...]:
    """What speaks for the family, and what against it."""
    explained = sum(fit.claimed.values())
    total = sum(counts.values())
    kinds = ", ".join(f"{fit.widths[w]} {_KINDS[w]}" for w in _KINDS if fit.widths.get(w))
    widths = ", ".join(f"{width} {size}" for width, size in fit.widths.items() if width not in _KINDS)
    said = [f"{fit.family.tell}", f"{kinds}; {widths}"]
    if fit.tags:
        said.append(f"also stored: {', '.join(_TAGS.get(tag, tag) for tag in fit.tags)}")
    if explained < total or fit.unmet:
        missing = f", {fit.unmet} kinds of tensors are missing" if fit.unmet else ""
        said.append(f"{explained} of {total} tensors explained{missing}")
    if _is_turned(orientation(fit, counts)):
        said.append("matrices are stored the other way round")
    return tuple(said)


_KINDS = {
    "layer": "layers", "dense": "of them dense", "moe": "of them with experts", "attention": "of them with attention",
    "mamba": "of them Mamba", "expert": "experts",
}  # fmt: skip
_TAGS = {"untied": "an output head of its own", "correction": "a correction for each expert's score"}
