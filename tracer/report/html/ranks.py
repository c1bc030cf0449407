"""What every rank does with a line of the path table, when the table itself was folded from the first ranks alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from mappings.bind import BoundRow
from mappings.names import Indices
from mappings.plan import Place
from tracer.report.paths import Hop, Line, planned_hop
from tracer.report.table import SHOWN_RANKS, PathTable
from tracer.session import Result

MOST = 128
"""Ranks that a page spells out."""
_MOST_FOLDED = 32
"""The same where their moves must be folded one by one."""


def table_of(result: Result) -> PathTable:
    """The table of the first ranks where all moves are the plan's, whose laws tell the others; else of all ranks.

    To fold a terabyte's moves takes a fifth of a second a rank.
    """
    return PathTable(result, shown=SHOWN_RANKS if as_planned(result) else _MOST_FOLDED)


def as_planned(result: Result) -> bool:
    """Whether the trace holds the plan's own moves, or moves that were observed and equal it."""
    if not result.prepared.run.observed:
        return True
    return result.failure is None and result.audit is not None and not result.audit.findings


class Ranks:
    """The hops of a table's lines on every rank."""

    def __init__(self, result: Result, table: PathTable) -> None:
        self._table = table
        self._plan = result.prepared.plan
        asked = result.prepared.request.ranks
        self.shown = asked[:MOST] if as_planned(result) else table.ranks
        self.hidden = len(asked) - len(self.shown)

    def hops(self, line: Line) -> Iterator[tuple[int, Hop | None]]:
        """Each rank's hop, in order; None where it does not read the tensor."""
        for rank in self.shown:
            yield rank, line.hops.get(rank) if rank in self._table.ranks else self._planned(line, rank)

    def _planned(self, line: Line, rank: int) -> Hop | None:
        row, position = self._rows[line.row]
        return planned_hop([Place(row, law, position) for law in row.laws(rank)], line.shard)

    @cached_property
    def _rows(self) -> dict[str, tuple[BoundRow, Indices]]:
        """Each row with the first tensor that it claims: a line tells expert 0 and the others alike."""
        found: dict[str, tuple[BoundRow, Indices]] = {}
        for owner, indices, _ in self._plan.claims:
            if isinstance(owner, BoundRow):
                found.setdefault(owner.id, (owner, indices))
        return found
