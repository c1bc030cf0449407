"""The tensors of a checkpoint by kind: one name with holes, its shape, and the positions at which it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from mappings.names import ANYTHING, HOLE, Domains, Indices, Pattern, runs
from tracer.infer.names import Group, Shape
from tracer.infer.roles import split

_MOST_LITERALS = 64
"""Numbers of a name that are no layer and no expert are written out, one entry each, up to this many."""
_EXPERTS = "experts", "expert"
_LAYERS = "layers", "h", "blocks", "layer", "blk"


@dataclass(frozen=True, eq=False)
class Kind:
    """Tensors that one entry of a mapping file can name."""

    holes: tuple[str | int, ...]
    """For every number of the template its domain (`layer:moe`), or the number itself."""
    positions: frozenset[Indices]
    """Of the holes that are no number."""
    group: Group

    @cached_property
    def name(self) -> str:
        """`model.layers.{layer}.mlp.experts.{expert}.w1.weight`."""
        own = iter(self.holes)
        return ".".join(_spelled(next(own)) if s == HOLE else s for s in self.group.template.split("."))

    @cached_property
    def sample(self) -> str:
        """The first of the names."""
        return Pattern(self.name).name(min(self.positions, default=()))

    def names(self) -> list[str]:
        """All of them."""
        pattern = Pattern(self.name)
        return [pattern.name(indices) for indices in sorted(self.positions)]

    def last(self, axis: str) -> int:
        """The highest position of an axis; -1 where the name has none."""
        named = [hole.partition(":")[0] for hole in self.holes if isinstance(hole, str)]
        return max((indices[named.index(axis)] for indices in self.positions), default=-1) if axis in named else -1

    @property
    def count(self) -> int:
        return max(1, len(self.positions))

    @cached_property
    def module(self) -> str:
        """The name without its leaf."""
        return split(self.name)[0]

    @cached_property
    def leaf(self) -> str:
        return split(self.name)[1]

    @cached_property
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


@dataclass(frozen=True, eq=False)
class Template:
    """The names of one template, sorted by what their numbers count; the same for every architecture."""

    group: Group
    axes: tuple[str | None, ...]
    """For every number the axis that it counts; None where it is a part of the name."""
    variants: tuple[tuple[Indices, frozenset[Indices]], ...]
    """The numbers that are parts of the name, and the positions of the others."""
    why_not: str = ""
    """Why no pattern can name these tensors."""

    def kinds(self, domains: dict[str, Sequence[int]]) -> list[Kind]:
        """As entries can name them. `domains` gains those that these need and that are not in it yet.

        Raises Unspellable.
        """
        if self.why_not:
            raise Unspellable(self.why_not)
        return [Kind(self._holes(numbers, found, domains), found, self.group) for numbers, found in self.variants]

    def _holes(
        self, numbers: Indices, found: frozenset[Indices], domains: dict[str, Sequence[int]]
    ) -> tuple[str | int, ...]:  # fmt: skip
        literals, columns = iter(numbers), iter(zip(*found, strict=True))
        return tuple(
            next(literals) if axis is None else domain_of(axis, sorted(set(next(columns))), domains)
            for axis in self.axes
        )


def template_of(group: Group) -> Template:
    """What the numbers of its names count."""
    segments = group.template.split(".")
    if any(not s or ANYTHING in s or ("{" in s and s != HOLE) or "}" in s.replace(HOLE, "") for s in segments):
        return Template(group, (), (), "no pattern can spell this name")
    places = [position for position, segment in enumerate(segments) if segment == HOLE]
    if any(len(indices) != len(places) for indices in group.indices):
        return Template(group, (), (), "no pattern can spell a name that has holes of its own")
    columns = [set(column) for column in zip(*group.indices, strict=True)] if places else []
    axes = tuple(_axis(segments, place, len(own), places[0]) for place, own in zip(places, columns, strict=True))
    if not any(axis is None for axis in axes):
        return Template(group, axes, (((), frozenset(group.indices)),))
    found: dict[Indices, set[Indices]] = {}
    for indices in group.indices:
        pairs = list(zip(indices, axes, strict=True))
        numbers = tuple(index for index, axis in pairs if axis is None)
        found.setdefault(numbers, set()).add(tuple(index for index, axis in pairs if axis is not None))
    if len(found) > _MOST_LITERALS:
        return Template(group, (), (), f"{len(found)} numbers in it are neither layers nor experts")
    return Template(group, axes, tuple((numbers, frozenset(own)) for numbers, own in sorted(found.items())))


def _axis(segments: Sequence[str], place: int, different: int, first: int) -> str | None:
    """The axis of a number in a name: the first that runs counts layers, one after `experts` counts those."""
    before = segments[place - 1] if place else ""
    if before in _EXPERTS:
        return "expert"
    return "layer" if place == first and (different > 1 or before in _LAYERS) else None


def domain_of(axis: str, column: Sequence[int], domains: dict[str, Sequence[int]]) -> str:
    """The domain of an axis that these positions are; a new one where none is."""
    for name, known in domains.items():
        if name.partition(":")[0] == axis and list(known) == list(column):
            return name
    if axis not in domains and axis != "layer":
        return axis
    number = sum(name.startswith(f"{axis}:") for name in domains) + 1
    domains[name := f"{axis}:some{number}"] = column
    return name


def new_domains(before: Set[str], after: Domains) -> dict[str, str]:
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
