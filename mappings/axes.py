"""Axis names, their sizes, and the layout grammar.

A *layout* lists a tensor's dimensions, separated by commas; a dimension is a product of axes, outermost first:
`"head.dim, hidden"`. The literal `1` is a dimension of extent 1, and the word `part` stands for "here the parts of
a fused parameter lie side by side". An axis is an *atom*, or a product of atoms such as `head = kv.group`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

PART = "part"
"""The word in a layout that stands for the parts of a fused parameter, side by side."""

Dim: TypeAlias = tuple[str, ...]
Layout: TypeAlias = tuple[Dim, ...]


def parse(text: str) -> Layout:
    """`"head.part, hidden"` -> `(("head", "part"), ("hidden",))`.

    Raises ValueError when a dimension is empty or an axis is not an identifier.
    """
    return tuple(_parse_dim(dim.strip(), text) for dim in text.split(","))


def _parse_dim(dim: str, text: str) -> Dim:
    if dim == "1":
        return ()
    axes = tuple(dim.split("."))
    if not all(axis.isidentifier() for axis in axes):
        raise ValueError(f"layout {text!r}: {dim!r} is not a product of axis names")
    return axes


def spell(layout: Layout) -> str:
    """The inverse of `parse`."""
    return ", ".join(".".join(dim) or "1" for dim in layout)


@dataclass(frozen=True)
class Axes:
    """The sizes of one checkpoint's atoms, and how composite axes factor into them."""

    sizes: Mapping[str, int]
    factors: Mapping[str, Dim]
    padded: frozenset[str] = frozenset()
    """Atoms that are padded before they are cut: a size of 1 is then not all that there is to them."""

    def atoms(self, dim: Iterable[str]) -> Dim:
        """The atoms of a dimension in order. Atoms of size 1 vanish unless padded; `part` stays."""
        return tuple(atom for axis in dim for atom in self._expand(axis))

    def _expand(self, axis: str) -> Dim:
        if axis == PART:
            return (PART,)
        if axis in self.factors:
            return self.atoms(self.factors[axis])
        return () if self.size(axis) == 1 and axis not in self.padded else (axis,)

    def layout(self, layout: Layout) -> Layout:
        """The same layout, spelled in atoms."""
        return tuple(self.atoms(dim) for dim in layout)

    def size(self, axis: str) -> int:
        """The number of positions along an axis: an atom, a product, or the blocks of a dimension (`head.dim/128`)."""
        dim, slash, block = axis.partition("/")
        if slash:
            return -(-self.extent(dim.split(".")) // int(block))
        if axis in self.factors:
            return prod(self.size(factor) for factor in self.factors[axis])
        return self.sizes[axis]

    def extent(self, dim: Iterable[str]) -> int:
        """The number of positions along a dimension, in elements."""
        return prod(self.size(axis) for axis in dim)


def blocks(dim: Dim, block: int) -> str:
    """The axis that counts the blocks of a dimension, the last one possibly partial."""
    return f"{'.'.join(dim)}/{block}"
