"""Cuts of one axis: the ranks' intervals against their declared copies, and intervals of products of atoms."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mappings.params import Cut, CutKind
from mappings.shards import box_of, obstacle, padded, replicas, shard
from tests.mappings.laws import law

KINDS: tuple[CutKind, ...] = ("split", "share", "share-one", "pad")
SIZES = (*range(1, 34), 63, 64, 65, 127, 128, 129, 200)
RANKS = (*range(1, 18), 32, 64, 128)


def is_legal(kind: CutKind, size: int, tp: int) -> bool:
    """The rules of the architecture document, told once more."""
    whole = -(-size // 64) * 64 if kind == "pad" else size
    if whole % tp == 0:
        return True
    return (kind == "share" and tp % size == 0) or (kind == "share-one" and size == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_obstacle_is_named_exactly_where_the_cut_is_illegal(kind: CutKind) -> None:
    for size, tp in product(SIZES, RANKS):
        assert (obstacle(Cut(kind, "axis"), size, tp) is None) == is_legal(kind, size, tp), (size, tp)


@pytest.mark.parametrize("kind", KINDS)
def test_legal_intervals_tile_the_axis_in_exactly_the_declared_number_of_copies(kind: CutKind) -> None:
    cut = Cut(kind, "axis")
    for size, tp in product(SIZES, RANKS):
        if obstacle(cut, size, tp):
            continue
        shards = [shard(cut, size, tp, rank) for rank in range(tp)]
        held = Counter(i for start, stop, _ in shards for i in range(start, stop))
        assert held == dict.fromkeys(range(size), replicas(cut, size, tp)), (size, tp)
        starts = [start for start, _, _ in shards]
        assert starts == sorted(starts), (size, tp)


@pytest.mark.parametrize("kind", KINDS)
def test_every_rank_has_the_same_room_and_only_padding_beyond_what_it_holds(kind: CutKind) -> None:
    cut = Cut(kind, "axis")
    for size, tp in product(SIZES, RANKS):
        if obstacle(cut, size, tp):
            continue
        shards = [shard(cut, size, tp, rank) for rank in range(tp)]
        assert len({room for _, _, room in shards}) == 1
        assert all(0 <= stop - start <= room for start, stop, room in shards)
        whole = padded(size) if kind == "pad" else size * replicas(cut, size, tp)
        assert sum(room for _, _, room in shards) == whole, (size, tp)


def test_a_rank_beyond_the_vocabulary_holds_padding_only() -> None:
    shards = [shard(Cut("pad", "vocab"), 67, 4, rank) for rank in range(4)]
    assert [tuple(held) for held in shards] == [(0, 32, 32), (32, 64, 32), (64, 67, 32), (67, 67, 32)]


def test_ranks_next_to_each_other_share_a_head() -> None:
    shards = [shard(Cut("share", "kv"), 2, 8, rank) for rank in range(8)]
    assert [held.start for held in shards] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_only_a_single_group_may_be_copied() -> None:
    assert obstacle(Cut("share-one", "mgroup"), 1, 6) is None
    assert obstacle(Cut("share-one", "mgroup"), 2, 4) == "2 does not divide by 4"


def test_without_a_cut_every_rank_holds_all() -> None:
    assert obstacle(None, 5, 3) is None
    assert [tuple(shard(None, 5, 3, rank)) for rank in range(3)] == [(0, 5, 5)] * 3
    assert replicas(None, 5, 3) == 3


@pytest.mark.parametrize(
    ("kind", "size", "tp", "text"),
    [
        ("split", 14, 4, "14 does not divide by 4"),
        ("share", 2, 3, "3 ranks cannot share 2 evenly"),
        ("share", 6, 4, "6 does not divide by 4"),
        ("pad", 100, 3, "100 padded to 128 does not divide by 3"),
    ],
)
def test_an_obstacle_gives_the_numbers(kind: CutKind, size: int, tp: int, text: str) -> None:
    assert obstacle(Cut(kind, "axis"), size, tp) == text


@law
@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_an_interval_is_a_box_exactly_where_its_positions_are_one(sizes: list[int], data: st.DataObject) -> None:
    whole = prod(sizes)
    start = data.draw(st.integers(0, whole - 1))
    stop = data.draw(st.integers(start + 1, whole))
    assume(sizes)
    places = np.stack(np.unravel_index(np.arange(start, stop), tuple(sizes)))
    ranges = [(int(row.min()), int(row.max()) + 1) for row in places]
    is_box = prod(b - a for a, b in ranges) == stop - start
    assert box_of((start, stop), tuple(sizes)) == (ranges if is_box else None)


def test_the_interval_of_a_single_position_without_atoms_is_the_empty_box() -> None:
    assert box_of((0, 1), ()) == []
