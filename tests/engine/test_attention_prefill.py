"""A prompt in chunks against the whole of it."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.attention.batch import make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.sdpa import WHOLE_SEQUENCE
from tests.engine.passes import Case, cases, exactly


@given(cases(), st.lists(st.integers(1, 5), min_size=16, max_size=16))
@settings(max_examples=60, deadline=None)
def test_a_chunked_prompt_is_what_a_whole_one_is(case: Case, steps: list[int]) -> None:
    """And both backends agree on it."""
    each, cache, found = case.sequences[0], case.cache(), []
    start = 0
    while start < each.stop:
        stop = min(each.stop, start + steps.pop())
        batch = make_pass([(start, stop, each.table, each.stop)], case.size)
        found.append(PagedSdpa(batch, cache)(case.heads, *(x[start:stop] for x in (each.q, each.k, each.v))))
        start = stop
    exactly(torch.cat(found), WHOLE_SEQUENCE(case.heads, each.q, each.k, each.v))
