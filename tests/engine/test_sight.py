"""Where in the cache keys are, and how they are fetched."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.attention.sight import fetch, in_one_piece, slots

SIZE = 4


@given(table=st.permutations(range(6)), count=st.integers(1, 24), first=st.integers(0, 23))
def test_keys_in_one_piece_are_seen_and_others_gathered(table: list[int], count: int, first: int) -> None:
    first = min(first, count - 1)
    places = torch.arange(first, count)
    where = slots(torch.tensor([table]), places[None], SIZE)[0]
    found = in_one_piece(where)
    used = table[first // SIZE : (count - 1) // SIZE + 1]
    assert isinstance(found, slice) == (used == list(range(used[0], used[0] + len(used))))
    cached = torch.arange(6 * SIZE)[:, None, None]
    expected = [table[place // SIZE] * SIZE + place % SIZE for place in places.tolist()]
    assert fetch(cached, found).flatten().tolist() == expected


def test_what_lies_in_one_piece_is_not_copied() -> None:
    cached = torch.zeros(24, 1, 1)
    found = fetch(cached, in_one_piece(torch.arange(5, 9)))
    assert found.untyped_storage().data_ptr() == cached.untyped_storage().data_ptr()
