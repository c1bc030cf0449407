"""The tensors of a checkpoint by kind: one name with holes, its shape, and the positions at which it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from mappings.names import ANYTHING, HOLE, Domains, Indices, Pattern, runs
from tracer.infer.names import Group, Shape
from tracer.infer.roles import split

_MOST_LITERALS = 64
"""Numbers of a name that are no layer and no expert are written out, one entry each, up to this many."""
_EXPERTS = ("experts", "expert")


@dataclass(frozen=True)
class Kind:
    """Tensors that one entry of a mapping file can name."""

    holes: tuple[str | int, ...]
    """For every number of the template its domain (`layer:moe`), or the number itself."""
    positions: frozenset[Indices]
    """Of the holes that are no number."""
    group: Group

    @property
    def name(self) -> str:
        """`model.layers.{layer}.mlp.experts.{expert}.w1.weight`."""
        own = iter(self.holes)
        return ".".join(_spelled(next(own)) if s == HOLE else s for s in self.group.template.split("."))

    @property
    def sample(self) -> str:
        """The first of the names."""
        return Pattern(self.name).name(min(self.positions, default=()))

    def names(self) -> list[str]:
        """All of them."""
        pattern = Pattern(self.name)
        return [pattern.name(indices) for indices in sorted(self.positions)]

    @property
    def count(self) -> int:
        return max(1, len(self.positions))

    @property
    def module(self) -> str:
        """The name without its leaf."""
        return split(self.name)[0]

    @property
    def leaf(self) -> str:
        return split(self.name)[1]

    @property
    def shape(self) -> Shape | None:
        """The shape of all of them; None where it is not known or not one."""
        shapes = {shape for shape, _ in self.group.shapes}
        return next(iter(shapes)) if len(shapes) == 1 else None

    @property
    def role(self) -> str:
        return self.group.role


def _spelled(hole: str | int) -> str:
    return str(hole) if isinstance(hole, int) else f"{{{hole}}}"


class Unspellable(ValueError):
    """No pattern can name these tensors; says why."""


def kinds_of(group: Group, domains: dict[str, Sequence[int]], experts: Mapping[str, int]) -> list[Kind]:
    """The kinds of one template. `domains` gains those that its numbers need and that are not in it yet.

    `experts` are the axes that count experts, with their sizes, the likeliest first. Raises Unspellable.
    """
    segments = group.template.split(".")
    if any(not s or ANYTHING in s or ("{" in s and s != HOLE) or "}" in s.replace(HOLE, "") for s in segments):
        raise Unspellable("no pattern can spell this name")
    places = [position for position, segment in enumerate(segments) if segment == HOLE]
    columns = [sorted(set(column)) for column in zip(*group.indices, strict=True)] if places else []
    named: list[str | None] = []
    for place, column in zip(places, columns, strict=True):
        named.append(_axis(segments, place, column, places[0], experts))
    literal = [k for k, axis in enumerate(named) if axis is None]
    variants = sorted({tuple(indices[k] for k in literal) for indices in group.indices})
    if len(variants) > _MOST_LITERALS:
        raise Unspellable(f"{len(variants)} numbers in it are neither layers nor experts")
    return [_kind(group, named, literal, variant, domains) for variant in variants]


def _axis(segments: Sequence[str], place: int, column: Sequence[int], first: int, experts: Mapping[str, int]) -> str | None:
    """The axis of a number in a name: the first that runs counts layers, one after `experts` counts those."""
    before = segments[place - 1] if place else ""
    if before in _EXPERTS:
        wanted = column[-1] + 1
        return next((axis for axis, size in experts.items() if size == wanted), next(iter(experts), None))
    return "layer" if place == first and (len(column) > 1 or before in ("layers", "h", "blocks", "layer")) else None


def _kind(
    group: Group, named: Sequence[str | None], literal: Sequence[int], variant: Indices,
    domains: dict[str, Sequence[int]],
) -> Kind:  # fmt: skip
    own = [indices for indices in group.indices if tuple(indices[k] for k in literal) == variant]
    numbers = iter(variant)
    holes: list[str | int] = []
    for k, axis in enumerate(named):
        holes.append(next(numbers) if axis is None else _domain(axis, sorted({i[k] for i in own}), domains))
    kept = [k for k, axis in enumerate(named) if axis is not None]
    return Kind(tuple(holes), frozenset(tuple(i[k] for k in kept) for i in own), group)


def _domain(axis: str, column: Sequence[int], domains: dict[str, Sequence[int]]) -> str:
    """The domain of an axis that these positions are; a new one where none is."""
    for name, known in domains.items():
        if name.partition(":")[0] == axis and list(known) == list(column):
            return name
    if axis not in domains and axis != "layer":
        return axis
    number = sum(name.startswith(f"{axis}:") for name in domains) + 1
    domains[name := f"{axis}:some{number}"] = column
    return name


def new_domains(before: Domains, after: Domains) -> dict[str, str]:
    """Those that were added, as a file spells them."""
    return {name: _ranges(found) for name, found in after.items() if name not in before}


def _ranges(found: Iterable[int]) -> str:
    """`runs` without its `except`."""
    text = runs(found)
    if "except" not in text:
        return text
    return ", ".join(_consecutive(sorted(set(found))))


def _consecutive(found: Sequence[int]) -> Iterator[str]:
    start = 0
    for k in range(1, len(found) + 1):
        if k == len(found) or found[k] != found[k - 1] + 1:
            yield runs(islice(found, start, k))
            start = k
