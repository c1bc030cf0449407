"""Whether positions lie in a parameter in another order than in their tensor, as GGUF has the rows of q and k."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge
from itertools import pairwise

from mappings.views import Range

_MOST = 1 << 20
"""Positions that are looked through; no head has as many."""


def permuted(pairs: Sequence[tuple[Range, Range]]) -> tuple[Range, ...]:
    """The first of each pair in the order of the second, where that is not their own; empty where it is."""
    ordered = sorted(set(pairs), key=lambda pair: pair[1])
    sizes = [(len(range(*src)), len(range(*dst))) for src, dst in ordered]
    if len(ordered) < 2 or any(read != written for read, written in sizes) or sum(n for n, _ in sizes) > _MOST:
        return ()
    landing = merge(*(zip(range(*dst), range(*src), strict=True) for src, dst in ordered))
    alike = all(source < later for (_, source), (_, later) in pairwise(landing))
    return () if alike else tuple(src for src, _ in ordered)


def ordered(order: Sequence[Range]) -> str:
    """`0:15:2 .. 49:64:2 x8`."""
    first, last = (":".join(map(str, each if each[2] > 1 else each[:2])) for each in (order[0], order[-1]))
    return f"{first} .. {last} x{len(order)}"
