"""The moves of a trace as numbers, for whatever looks at all of them: names and blocks are spelled out once each.

A terabyte's trace has as many moves as there are tensors on all ranks, and a few thousand different blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

from mappings.views import Box
from tracer.cells import box_of
from tracer.errors import InputError
from tracer.store import Store

MoveNumbers: TypeAlias = tuple[int, int, str, int, int, str | None]
"""A move's tensor, row, shard (in the store's spelling), parameter, block and op; names and blocks by their numbers."""


class Columns:
    """Reads a store."""

    def __init__(self, store: Store) -> None:
        self._db = store.db

    @cached_property
    def names(self) -> dict[int, str]:
        return dict(self._db.execute("SELECT id, text FROM name"))

    @cached_property
    def name_numbers(self) -> dict[str, int]:
        return {text: number for number, text in self.names.items()}

    @cached_property
    def box_numbers(self) -> dict[Box, int]:
        return {box: number for number, box in self.boxes.items()}

    @cached_property
    def boxes(self) -> dict[int, Box]:
        return {row[0]: box_of(*row[1:]) for row in self._db.execute("SELECT id, src, dst, perm FROM box")}

    def moves(self, rank: int) -> Iterator[MoveNumbers]:
        """In the order in which they happened."""
        query = "SELECT tensor, row, shard, param, box, op FROM move WHERE rank = ? ORDER BY id"
        return self._db.execute(query, (rank,))

    def box(self, number: int) -> Box:
        """Raises InputError for a number that no block has."""
        if number not in self.boxes:
            raise InputError(f"the trace store is damaged: a move has block {number}, which is not there")
        return self.boxes[number]

    def name(self, number: int) -> str:
        """Raises InputError for a number that no name has."""
        if number not in self.names:
            raise InputError(f"the trace store is damaged: a move has name {number}, which is not there")
        return self.names[number]

    def pairs(self, first: str, second: str, rank: int | None = None) -> list[tuple[int, int]]:
        """Two columns of all moves, or of one rank's."""
        where, given = ("", ()) if rank is None else ("WHERE rank = ?", (rank,))
        return self._db.execute(f"SELECT {first}, {second} FROM move {where}", given).fetchall()
