"""Layouts from shapes: which axes of an architecture multiply to the extents of a tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from mappings.axes import Axes, Dim, Layout, parse, spell
from mappings.bind import Binding
from mappings.rows import Architecture
from mappings.sizes import Config, ConfigError, Sizes
from tracer.infer.names import Shape
from tracer.starter.fields import named_for
from tracer.starter.practice import LAYOUTS

_MOST = 8
"""Readings of one shape that are worth telling."""


@dataclass
class Vocabulary:
    """The dimensions that tensors of an architecture have, with their extents; and axes that it gains."""

    extents: dict[Dim, int]
    """In the order in which they are preferred."""
    config: Mapping[str, Any]
    added: dict[str, str] = field(default_factory=dict)
    """Axis -> size expression, of those that no dimension had."""
    factors: Mapping[str, Dim] = field(default_factory=dict)
    """Axis -> the axes that it is a product of."""

    def atoms(self, dim: Iterable[str]) -> list[str]:
        """What a dimension is a product of in the end: `kv` and `group` of `head`."""
        return [atom for axis in dim for atom in (self.atoms(self.factors[axis]) if axis in self.factors else [axis])]

    def extent(self, dim: Dim) -> int | None:
        """The number of positions along a dimension, None where an axis of it is not known."""
        total = 1
        for axis in dim:
            own = self.extents.get((axis,))
            if own is None:
                return self.extents.get(dim)
            total *= own
        return total

    def fits(self, text: Layout, shape: Shape | None) -> bool:
        """Whether a layout has this shape; where the shape is not known, whether it has any."""
        if shape is None:
            return all(self.extent(dim) is not None for dim in text)
        return len(text) == len(shape) and all(self.extent(d) == n for d, n in zip(text, shape, strict=True))

    def readings(self, shape: Shape) -> list[Layout]:
        """Every way to read a shape, no axis twice, nor in another; the preferred first."""
        ways = [self._dims(extent) for extent in shape]
        found = sorted(filter(self._once, product(*ways)), key=_inside_out)
        return found[:_MOST] or [self._new(shape)]

    def _once(self, way: Sequence[Dim]) -> bool:
        atoms = [atom for dim in way for atom in self.atoms(dim)]
        return len(set(atoms)) == len(atoms)

    def _dims(self, extent: int) -> list[Dim]:
        found = [dim for dim, own in self.extents.items() if own == extent]
        return found or ([()] if extent == 1 else [self._axis(extent)])

    def _new(self, shape: Shape) -> Layout:
        """A reading with axes of their own where no other is possible: a square of one axis."""
        taken: set[str] = set()
        dims = []
        for extent in shape:
            free = (dim for dim in self._dims(extent) if not taken & set(self.atoms(dim)))
            dim = next(free, None) or self._axis(extent, len(taken))
            taken |= set(self.atoms(dim))
            dims.append(dim)
        return tuple(dims)

    def _axis(self, extent: int, again: int = 0) -> Dim:
        """An axis that is only known by its size, after the config field that has this value where one has."""
        name = f"n{extent}" + ("" if not again else "_again")
        if name not in self.added:
            self.added[name] = named_for(extent, self.config) or str(extent)
            self.extents[name,] = extent
        return (name,)


def _inside_out(way: Sequence[Dim]) -> bool:
    """Whether what each head has stands outside of the heads: nobody stores it so, and no shape tells it apart."""
    axes = [axis for dim in way for axis in dim]
    return "dim" in axes and bool({"head", "kv"} & set(axes[axes.index("dim") :]))


def vocabulary(binding: Binding, spare: Architecture, config: Mapping[str, Any]) -> Vocabulary:
    """The dimensions that occur in the layouts of an architecture, those that occur most first, and its axes.

    `spare` has axes that it may gain: an architecture without rows.
    """
    counts: Counter[Dim] = Counter(
        dim for param in binding.arch.params for part in param.parts for dim in part.dims if dim
    )
    own = {*binding.arch.axes, *binding.arch.factors}
    more = Axes(Sizes(spare, Config(config)), spare.factors)
    common = [dim for texts in LAYOUTS.values() for text in texts for dim in parse(text) if dim]
    single = [(axis,) for axis in [*own, *spare.axes, *spare.factors]]
    found: dict[Dim, int] = {}
    for dim in [*(dim for dim, _ in counts.most_common()), *common, *single]:
        extents = [_extent(binding.axes if axis in own else more, (axis,)) for axis in dim]
        if all(extents):
            found.setdefault(dim, prod(extent for extent in extents if extent))
    return Vocabulary(found, config, factors={**spare.factors, **binding.arch.factors})


def _extent(axes: Axes, dim: Dim) -> int | None:
    try:
        return axes.extent(dim)
    except (ConfigError, KeyError):
        return None


def told(layouts: Iterable[Layout]) -> str:
    """Layouts in words."""
    return " or ".join(f'"{spell(layout)}"' for layout in layouts)
