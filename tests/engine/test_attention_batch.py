"""What a pass says of itself: where its tokens are, and how long their sequences were."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given, settings

from engine.attention.batch import make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.attention.varlen import Varlen
from engine.cache.tensors import KVCache
from tests.engine.passes import Case, cases


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_pass_says_where_its_tokens_are(case: Case) -> None:
    batch, size = case.batch(), case.size
    starts, tables = batch.starts.tolist(), batch.tables.tolist()
    positions = [range(each.start, each.stop) for each in case.sequences]
    assert [stop - start for start, stop in pairwise(starts)] == [len(some) for some in positions]
    assert [row[: len(each.table)] for row, each in zip(tables, case.sequences, strict=True)] == [
        each.table for each in case.sequences
    ]
    assert batch.slots.tolist() == [
        each.table[p // size] * size + p % size
        for each, some in zip(case.sequences, positions, strict=True) for p in some
    ]  # fmt: skip
    assert batch.origins.tolist() == [
        each.prompt if p < each.prompt else p + 1
        for each, some in zip(case.sequences, positions, strict=True) for p in some
    ]  # fmt: skip
    ends = [each.stop for each in case.sequences]
    assert (batch.lengths.tolist(), batch.most_keys) == (ends, max(ends))
    assert batch.most_queries == max(map(len, positions))
    assert {batch.starts.dtype, batch.lengths.dtype, batch.tables.dtype} == {torch.int32}
    assert {batch.slots.dtype, batch.origins.dtype} == {torch.int64}


def test_lengths_are_those_of_the_pass_or_of_the_whole_sequence() -> None:
    batch, cache = make_pass([(0, 2, [0], 5), (4, 8, [1, 2], 6)], 4), KVCache([], 3, 4, torch.float32)
    for backend in (PagedSdpa(batch, cache), Varlen(batch, cache)):
        assert backend.lengths(torch.tensor([0, 1, 4, 5, 6, 7])).tolist() == [5, 5, 6, 6, 7, 8]
    assert WHOLE_SEQUENCE.lengths(torch.arange(3)).tolist() == [3, 3, 3]
