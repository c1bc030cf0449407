"""Sets of positions along one dimension: a byte a position, as slices of bytes are set and searched at memory speed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, pairwise
from typing import NamedTuple, TypeAlias

from mappings.views import Range

Span: TypeAlias = tuple[int, int]
"""Start and stop (exclusive)."""
_ONE = b"\x01"


def mask(size: int, ranges: Iterable[Range]) -> bytes:
    """The positions of some ranges."""
    found = bytearray(size)
    for start, stop, step in set(ranges):
        found[start:stop:step] = _ONE * len(range(start, min(stop, size), step))
    return bytes(found)


def within(own: bytes, all_of: bytes) -> bytes:
    """`own`, counted by the positions of `all_of` alone."""
    runs = spans(all_of)
    return own[slice(*runs[0])] if len(runs) == 1 else bytes(compress(own, all_of))


def lacks(meant: bytes, own: bytes, there: bytes) -> bool:
    """Whether there is something that was meant for one's own and is not."""
    wanted, held, found = (int.from_bytes(each) for each in (meant, own, there))
    return bool(wanted & ~held & found)


def spans(own: bytes) -> tuple[Span, ...]:
    """The runs of a mask."""
    found, start = [], own.find(1)
    while start >= 0:
        stop = own.find(0, start)
        if stop < 0:
            found.append((start, len(own)))
            break
        found.append((start, stop))
        start = own.find(1, stop)
    return tuple(found)


class Pieces(NamedTuple):
    """Runs of the same length at the same distance: `0:64 x16 every 192`."""

    first: Span
    times: int
    every: int


def pieces(found: Sequence[Span]) -> Pieces | None:
    """All runs as one, where they are regular."""
    if not found:
        return None
    lengths, steps = {b - a for a, b in found}, {b[0] - a[0] for a, b in pairwise(found)}
    regular = len(lengths) == 1 and len(steps) <= 1
    return Pieces(found[0], len(found), steps.pop() if steps else 0) if regular else None


def told(found: Sequence[Span]) -> str:
    """`0:2048`, `0:64 x16 every 192`, `0:95:2`."""
    whole = pieces(found)
    if whole is None:
        return f"{found[0][0]}:{found[0][1]} .. {found[-1][0]}:{found[-1][1]} x{len(found)}" if found else "none"
    start, stop = whole.first
    if whole.times == 1:
        return f"{start}:{stop}"
    if stop - start == 1:
        return f"{start}:{found[-1][1]}:{whole.every}"
    return f"{start}:{stop} x{whole.times} every {whole.every}"


class Segment(NamedTuple):
    """Positions that the same ranks hold."""

    start: int
    stop: int
    ranks: tuple[int, ...]
    """Several where they are replicated; none where a load has left a gap."""


def segments(length: int, held: Mapping[int, Sequence[Span]]) -> tuple[Segment, ...]:
    """`0..length`, cut wherever a rank begins or ends to hold something."""
    changes: dict[int, set[int]] = {0: set(), length: set()}
    for rank, own in held.items():
        for edge in (edge for span in own for edge in span):
            changes.setdefault(edge, set()).symmetric_difference_update({rank})
    found: list[Segment] = []
    holding: set[int] = set()
    edges = sorted(changes)
    for start, stop in pairwise(edges):
        holding = holding ^ changes[start]
        ranks = tuple(sorted(holding))
        if found and found[-1].ranks == ranks:
            found[-1] = found[-1]._replace(stop=stop)
        else:
            found.append(Segment(start, stop, ranks))
    return tuple(found)
