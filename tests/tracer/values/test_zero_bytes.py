from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.values.zero_bytes import PAGE, ZeroBytes, zero_bytes

stretches = st.lists(st.tuples(st.booleans(), st.sampled_from([1, 3, 8, 500, 4090, 4096, 4105, 9000])), max_size=6)


def by_hand(data: bytes) -> ZeroBytes:
    """Byte by byte."""
    runs, at = [(0, 0)], 0
    for zero, held in groupby(data, lambda byte: byte == 0):
        count = len(list(held))
        runs += [(at, count)] if zero and count >= PAGE else []
        at += count
    start, longest = max(runs, key=lambda run: (run[1], -run[0]))
    leading, trailing = len(data) - len(data.lstrip(b"\0")), len(data) - len(data.rstrip(b"\0"))
    return ZeroBytes(len(data), leading, trailing, start, longest)


@given(stretches, st.lists(st.integers(0, 30_000), max_size=4))
@settings(max_examples=300, deadline=None)
def test_runs_of_zero_bytes_are_found_wherever_they_are_and_however_they_are_cut(
    held: list[tuple[bool, int]], cuts: list[int]
) -> None:
    data = b"".join(bytes(count) if zero else b"\x01" * count for zero, count in held)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = ZeroBytes()
    for start, stop in pairwise(edges):
        found += zero_bytes(np.frombuffer(data[start:stop], np.uint8))
    assert found.settled() == by_hand(data)
    assert found.everything == (len(data) > 0 and not any(data))
