"""The tensors of a checkpoint in each of the orders that a page may have them in, each order made once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from math import prod
from typing import Any, Literal, TypeAlias

from tracer.checkpoint.tensor_info import TensorInfo
from tui.model.tree import natural, together

Order: TypeAlias = Literal["file", "name", "size", "elements", "dtype", "shape", "tree"]
_KEYS: dict[Order, Callable[[TensorInfo], Any]] = {
    "name": lambda info: natural(info.name),
    "size": lambda info: -info.nbytes,
    "elements": lambda info: -prod(info.shape),
    "dtype": lambda info: info.dtype,
    "shape": lambda info: info.shape,
    "tree": together,
}
"""Sorting is stable: equals stay in the order of the files, which is the order `file`."""

FEW = 16
"""Up to one tensor of so many is sorted; of more it is noted which they are."""


@dataclass(frozen=True)
class Orders:
    """Positions in `infos`, ordered."""

    infos: Sequence[TensorInfo]
    _made: dict[Order, Sequence[int]] = field(default_factory=dict, repr=False)
    _ranked: dict[Order, Sequence[int]] = field(default_factory=dict, repr=False)

    def all(self, order: Order) -> Sequence[int]:
        """Every position."""
        if order not in self._made:
            self._make(order)
        return self._made[order]

    def some(self, wanted: Sequence[int], order: Order) -> Sequence[int]:
        """These positions; those of equals as they stand."""
        _ = self.all(order)
        return wanted if order == "file" else sorted(wanted, key=self._ranked[order].__getitem__)

    def places(self, wanted: Sequence[int]) -> Sequence[int]:
        """Where these positions stand in the order of the tree, the first first."""
        made = self.all("tree")
        if len(wanted) * FEW < len(made):
            return sorted(map(self._inverse.__getitem__, wanted))
        flags = bytearray(len(made))
        for position in wanted:
            flags[position] = 1
        return list(compress(range(len(made)), map(flags.__getitem__, made)))

    @cached_property
    def _inverse(self) -> Sequence[int]:
        """Where each position stands in the order of the tree."""
        found = array("Q", bytes(8 * len(self.infos)))
        for place, position in enumerate(self.all("tree")):
            found[position] = place
        return found

    def prepare(self) -> None:
        """Make all of them, so that no key has to wait for one."""
        for order in _KEYS:
            self.all(order)
        _ = self._inverse

    def _make(self, order: Order) -> None:
        if order == "file":
            self._made[order] = range(len(self.infos))
            return
        keys = list(map(_KEYS[order], self.infos))
        made = sorted(range(len(keys)), key=keys.__getitem__)
        ranks, rank = array("Q", bytes(8 * len(keys))), 0
        for number, position in enumerate(made):
            if number and keys[position] != keys[made[number - 1]]:
                rank = number
            ranks[position] = rank
        self._ranked[order] = ranks  # before the order, which another thread takes as the sign that all is there
        self._made[order] = array("Q", made)
