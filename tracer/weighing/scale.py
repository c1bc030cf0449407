"""What each file may weigh more than the rows say, for given widths: room that an explanation has to fill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import inf

from tracer.weighing.bands import Band
from tracer.weighing.books import Books

_LARGEST = 1 << 63
"""Bytes; a total of hundreds of digits, as some indexes have, is not to be added to a float."""
_ANY = Band(-inf, inf)


@dataclass(frozen=True)
class Reading:
    """One choice of all widths, and what then remains to be explained."""

    width: int
    """Bytes of a standard element."""
    choice: int
    """Which of the choices for the unsure ones it is."""
    expected: Sequence[int]
    """Bytes of data of each file, and last of all."""
    rooms: Sequence[Band]
    """Bytes that each file has over it: at least, at most."""
    totals: Sequence[Band]
    """The same of the index's total: one of these."""
    counted: Band
    """The same of a total that counts headers; too wide to prove anything with."""

    def fits(self, more: Sequence[int]) -> bool:
        """Whether so many bytes more, in each file and in all, make everything right, the total to the byte."""
        return self.files_fit(more) and self.total_proves(more)

    def files_fit(self, more: Sequence[int]) -> bool:
        return all(room.low <= n <= room.high for room, n in zip(self.rooms, more, strict=False))

    def total_fits(self, more: Sequence[int]) -> bool:
        return self.total_proves(more) or self.counted.holds(more[-1])

    def total_proves(self, more: Sequence[int]) -> bool:
        return any(room.holds(more[-1]) for room in self.totals)

    def misfits(self) -> list[int]:
        """The files that weigh something else."""
        return [n for n, room in enumerate(self.rooms) if not room.holds(0)]

    def surplus(self, n: int) -> int:
        """How far a file is above what is expected, negative below; 0 where it fits."""
        low, high = self.rooms[n]
        return int(low) if low > 0 else int(high) if high < 0 else 0


class Scale:
    """Weighs the books with the sizes that one config.json gives to the tensors of each lot."""

    def __init__(self, books: Books, elements: Mapping[str, int] | None = None) -> None:
        self.books = books
        self._elements = {lot.key: lot.elements for lot in books.lots.values()} | dict(elements or {})
        self._readings: dict[int, list[Reading]] = {}

    def _sum(self, keys: Sequence[str]) -> list[int]:
        return self.books.heavier({key: self._elements[key] for key in keys})

    @cached_property
    def standard(self) -> list[int]:
        """Elements of the checkpoint's data type: in each file, and last in all."""
        return self._sum([lot.key for lot in self.books.lots.values() if lot.standard])

    @cached_property
    def _stated(self) -> list[int]:
        """Bytes of what must have the data type that the rows state."""
        lots = self.books.lots.values()
        stated = {lot.key: self._elements[lot.key] * lot.width for lot in lots if not (lot.standard or lot.unsure)}
        return [a + b for a, b in zip(self.books.heavier(stated), self.books.real, strict=True)]

    @cached_property
    def _unsure(self) -> dict[str, list[int]]:
        words = dict.fromkeys(lot.unsure for lot in self.books.lots.values() if lot.unsure)
        return {word: self._sum([k for k, lot in self.books.lots.items() if lot.unsure == word]) for word in words}

    def readings(self, width: int) -> list[Reading]:
        """Every choice of widths for the unsure, with `width` for the standard ones; the likeliest first."""
        if width not in self._readings:
            self._readings[width] = list(self._read(width))
        return self._readings[width]

    def _read(self, width: int) -> Iterator[Reading]:
        lots = {lot.unsure: lot for lot in self.books.lots.values() if lot.unsure}
        base = [s + width * n for s, n in zip(self._stated, self.standard, strict=True)]
        options = product(*(lots[word].widths(width) for word in self._unsure))
        for choice, widths in enumerate(options):
            chosen = dict(zip(self._unsure, widths, strict=True))
            expected = [
                own + sum(w * self._unsure[word][n] for word, w in chosen.items()) for n, own in enumerate(base)
            ]
            derived = sum(w * self._unsure[word][-1] for word, w in chosen.items() if lots[word].derived)
            yield Reading(
                width,
                choice,
                expected,
                self._rooms(expected),
                self._totals(expected[-1], derived),
                self._counted(expected[-1]),
            )

    def _rooms(self, expected: Sequence[int]) -> list[Band]:
        rooms = []
        for shard, own in zip(self.books.shards, expected, strict=False):
            low, high = shard.beside
            rooms.append(Band(shard.size - own - high if shard.known else -inf, shard.size - own - low))
        return rooms

    def _totals(self, expected: int, derived: int) -> list[Band]:
        """Some tools add up all tensors, some leave out what is recomputed."""
        books, said = self.books, self.books.total_size
        if said is None or said == books.held:
            return [_ANY]
        over = said - expected
        if not books.known:
            return [Band(-inf, over)]
        return [Band(over, over), Band(over + derived, over + derived)]

    def _counted(self, expected: int) -> Band:
        books, (low, high) = self.books, self.books.headers
        if books.total_size is None or not high or books.total_size > _LARGEST:
            return Band(0, -1)
        return Band(books.total_size - expected - high, books.total_size - expected - low)

    def best(self, width: int) -> Reading:
        """The choice with which most is right."""
        nothing = [0] * len(self.books.counts)
        return min(
            self.readings(width),
            key=lambda r: (len(r.misfits()), not r.total_fits(nothing), not r.total_proves(nothing)),
        )
