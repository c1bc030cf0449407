"""A trace as a table: on each rank, for each tensor, what went to which parameter."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import NamedTuple, TypeAlias

from mappings.views import Box, Shape
from tracer.columns import Columns
from tracer.events import Parameter, Tensor
from tracer.store import Store

Moves: TypeAlias = dict[str, tuple["Target", ...]]
"""By tensor."""


class Target(NamedTuple):
    """Blocks of one tensor that go to one parameter, through one value transform or none."""

    param: str
    op: str | None
    boxes: tuple[Box, ...]


class Load:
    """One trace."""

    def __init__(self, letter: str, given: str, store: Store) -> None:
        self.letter, self.given, self.store = letter, given, store
        self.run = store.run
        self.shapes: dict[int, dict[str, Shape]] = {}
        """Of parameters, as far as they were asked for."""
        self._columns = Columns(store)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.store.tensors()}

    def params(self, rank: int) -> dict[str, Parameter]:
        return {param.name: param for param in self.store.params(rank)}

    def pads(self, rank: int) -> dict[str, set[tuple[object, float]]]:
        """Regions without a source, and what they were filled with, by parameter."""
        found: dict[str, set[tuple[object, float]]] = defaultdict(set)
        for pad in self.store.pads(rank):
            found[pad.param].add((pad.dst, pad.value))
        return found

    def moves(self, rank: int) -> Moves:
        """What happened on a rank. Raises InputError for a damaged store."""
        columns = self._columns
        found: dict[str, dict[tuple[str, str | None], list[Box]]] = defaultdict(lambda: defaultdict(list))
        for tensor, _, _, param, box, op in columns.moves(rank):
            found[columns.name(tensor)][columns.name(param), op].append(columns.box(box))
        return {
            tensor: tuple(Target(*to, tuple(boxes)) for to, boxes in sorted(own.items(), key=lambda item: str(item[0])))
            for tensor, own in found.items()
        }  # fmt: skip

    def count(self) -> int:
        return self.store.count("move")

    def __str__(self) -> str:
        run = self.run
        how = f"{'loaded' if run.observed else 'planned'} by {run.loader}"
        ranks = f"ranks {list(run.ranks)}" if len(run.ranks) > 1 else f"rank {run.ranks[0] if run.ranks else '-'}"
        return (f"{self.letter}: {self.given}: {run.model}: {run.architecture}, tp {run.tp}, {ranks}, {how},"
                f" {self.count():,} moves")  # fmt: skip


def shape_in(params: dict[str, Parameter], name: str) -> Shape | None:
    return params[name].shape if name in params else None
