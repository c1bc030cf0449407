"""Looks for low ranks: on a few matrices of each kind, and on all of a kind whose first have one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from mappings.names import blank
from tracer.diff.compared import Comparison, Pair, Rank
from tracer.diff.values.compare import matrices, opened, reader_of
from tracer.diff.values.rank import LARGEST_RANK, rank_of_change
from tracer.diff.values.rows import Reader, Unreadable

_FIRST = 2
"""Matrices of a kind that must have no low rank before the others are not looked at."""


def look_for_ranks(comparison: Comparison, everything: bool) -> None:
    """Fill in the rank of changes; with `everything` of all matrices. What is left is counted."""
    kinds: dict[str, list[Pair]] = {}
    for pair in matrices(comparison):
        kinds.setdefault(blank(pair.subject)[0], []).append(pair)
    one, other = reader_of(comparison.a), reader_of(comparison.b)
    with closing(one), closing(other):
        for pairs in kinds.values():
            comparison.ranks_left += _of_a_kind(pairs, everything, one, other)


def _of_a_kind(pairs: list[Pair], everything: bool, one: Reader, other: Reader) -> int:
    """How many were not looked at."""
    full, most = 0, LARGEST_RANK
    for done, pair in enumerate(pairs):
        if full >= _FIRST and not everything:
            return len(pairs) - done
        rank = _rank(pair, most, one, other)
        assert pair.valued is not None
        pair.valued = replace(pair.valued, rank=rank)
        full += rank is None or rank.rank is None
    return 0


def _rank(pair: Pair, most: int, one: Reader, other: Reader) -> Rank | None:
    try:
        return rank_of_change(*opened(pair, one, other), most)
    except Unreadable:
        return None
