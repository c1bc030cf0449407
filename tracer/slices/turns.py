"""Parts that do not lie one behind the other in a parameter but take turns: a row of gate, a row of up, and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tracer.slices.spans import pieces

if TYPE_CHECKING:
    from tracer.slices.picture import Band

_ORDINALS = {2: "second", 3: "third", 4: "fourth"}


class Turns(NamedTuple):
    """Bands that alternate, or one that lies by itself."""

    bands: tuple[int, ...]
    """Their places among the bands of the parameter, in the order of their turns."""
    takes: tuple[int, ...] = ()
    """Positions of each before the next has its turn; empty where there is but one."""

    def words(self, one: str, many: str) -> str:
        """`every second row`, where `one` is a row and `many` are rows."""
        every = sum(self.takes)
        if set(self.takes) == {1}:
            return f"every {_ORDINALS.get(every, f'{every}th')} {one}"
        return f"{', '.join(map(str, self.takes))} of every {every} {many}"


class _Stride(NamedTuple):
    start: int
    take: int
    every: int
    lands: int


def turns(bands: Sequence[Band]) -> Iterator[Turns]:
    """All bands in their order, those that take turns together."""
    strides, number = [_stride(band) for band in bands], 0
    while number < len(bands):
        found = _round(strides[number:])
        yield Turns(tuple(range(number, number + max(len(found), 1))), tuple(stride.take for stride in found))
        number += max(len(found), 1)


def _round(strides: Sequence[_Stride | None]) -> list[_Stride]:
    """The first ones, as many as make a whole round; none where they do not."""
    found: list[_Stride] = []
    at, first = 0, strides[0]
    for stride in strides:
        if first is None or stride is None or stride[2:] != first[2:] or stride.start != first.start + at:
            return []
        found.append(stride)
        at += stride.take
        if at == first.every:
            return found
    return []


def _stride(band: Band) -> _Stride | None:
    """Where a band has its turns on the ranks; None where it lies in one piece, or not as regularly on all of them."""
    landings = (pieces(share.landing) for share in band.shares if len(share.landing) > 1)
    found = {own and _Stride(own.first[0], own.first[1] - own.first[0], own.every, band.lands) for own in landings}
    return found.pop() if len(found) == 1 else None
