"""Decides why files do not weigh what they should.

A reading gives each row one width; a cause adds to that what tensors of another width weigh more; a field changes
sizes. Only what makes every file right, and the index's total to the byte, explains anything. Of several, in order:
nothing; another data type for all; what publishers keep in F32 by habit, or one storage for two; one value of
config.json; rows, layers, tensors or files in F32. Where something harmless and a field explain the same bytes, both
are said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mappings.plan import LoadPlan
from tracer.weighing import causes
from tracer.weighing.books import Books
from tracer.weighing.causes import WIDE, Cause
from tracer.weighing.fields import Field, Solver
from tracer.weighing.scale import Reading, Scale

WIDTHS = (2, 4)
"""Bytes an element that a whole checkpoint may have; 8-bit ones have scales, and a scheme that says so."""


@dataclass(frozen=True)
class Explanation:
    """What was found: how to read the checkpoint, and why."""

    reading: Reading
    files: bool
    """Whether every file is right with it."""
    total: bool
    """Whether the index's total is."""
    cause: Cause | None = None
    fields: Sequence[Field] = ()
    """Values with which everything would be right too, or alone."""
    plain: bool = False
    """Whether nothing but one data type for all explains it."""

    @property
    def more(self) -> Sequence[int]:
        """What the cause adds to each file and to all."""
        return self.cause.more if self.cause else [0] * len(self.reading.expected)


class Explainer:
    """Looks for an explanation of one checkpoint."""

    def __init__(self, plan: LoadPlan, books: Books, declared: int) -> None:
        self.books = books
        self.declared = declared
        self.solver = Solver(plan, books)
        self.scale = Scale(books)
        self._nothing = (0,) * len(books.counts)
        self._whole = all(books.counts[-1][row.id] == row.count() for row in plan.binding.rows)
        """Whether every tensor is listed. Where not, names say more of what is wrong than sums can."""

    def explain(self) -> Explanation:
        """The best there is."""
        found = self._with_total()
        if found is None and self.books.shards:
            found = self._without_total()
        return found or self._nearest()

    def _with_total(self) -> Explanation | None:
        """Everything is right, or would be for one reason."""
        if plain := self._plain(total=True):
            return plain
        return self._caused(True, self._habits(), self._others())

    def _without_total(self) -> Explanation | None:
        """The files are right, and the total is somebody else's."""
        if plain := self._plain(total=False):
            return plain
        contradicted = any(r.total_fits(self._nothing) for r in self.scale.readings(self.declared))
        if contradicted and self.books.total_size is not None:
            return self._first(self._habits(), total=False)
        return self._caused(False, self._habits(), self._others())

    def _plain(self, total: bool) -> Explanation | None:
        files = bool(self.books.shards)
        for reading in self._readings():
            if reading.files_fit(self._nothing) and (not total or reading.total_fits(self._nothing)):
                other = reading.width != self.declared
                fields = self.solver.solve(self.scale.readings(self.declared), files, total) if other else ()
                plain = self._explanation(reading)
                return replace(plain, fields=fields, plain=True)
        return None

    def _caused(self, total: bool, likely: Iterable[Cause], others: Iterable[Cause]) -> Explanation | None:
        harmless = self._first(likely, total)
        fields = self._fields(total)
        if harmless is None and fields is None:
            return self._first(others, total)
        if harmless is None or fields is None:
            return harmless or fields
        return replace(harmless, fields=[field for field in fields.fields if field.likely])

    def _first(self, candidates: Iterable[Cause], total: bool) -> Explanation | None:
        for cause in candidates:
            for reading in self.scale.readings(cause.width):
                if self._right(reading, cause.more, total):
                    return self._explanation(reading, cause)
        return None

    def _fields(self, total: bool) -> Explanation | None:
        if not self._whole:
            return None
        for width in self._widths():
            readings = self.scale.readings(width)
            if found := self.solver.solve(readings, bool(self.books.shards), total):
                scale = self.solver.scale(found[0])
                right = scale.best(width) if scale else readings[0]
                return Explanation(right, True, right.total_fits(self._nothing), fields=found)
            if total and (resized := [field for reading in readings for field in self.solver.resized(reading)]):
                return Explanation(readings[0], True, True, fields=resized)
        return None

    # --- candidates ---

    def _habits(self) -> Iterator[Cause]:
        for width in self._narrow():
            yield from causes.habits(self.books, width)
            yield from (cause for cause in causes.rows(self.books, width, 1) if cause.habit)
        for width in self._widths():
            yield from causes.shared(self.books, width)

    def _rows(self, together: int) -> Iterator[Cause]:
        for width in self._narrow():
            yield from causes.rows(self.books, width, together)

    def _others(self) -> Iterator[Cause]:
        yield from self._rows(1)
        if not self.books.shards:
            return
        yield from self._rows(2)
        for width in self._narrow():
            off = self.scale.best(width).misfits()
            yield from causes.layers(self.books, width)
            if len(off) == 1 and self._whole:
                yield from causes.tensors(self.books, width, off)
            yield from causes.whole_files(self.books, width, off)

    # --- readings ---

    def _widths(self) -> list[int]:
        return list(dict.fromkeys((self.declared, *WIDTHS)))

    def _narrow(self) -> list[int]:
        return [width for width in self._widths() if width < WIDE]

    def _readings(self) -> Iterator[Reading]:
        for width in self._widths():
            yield from self.scale.readings(width)

    def _right(self, reading: Reading, more: Sequence[int], total: bool) -> bool:
        return reading.fits(more) if total else reading.files_fit(more)

    def _explanation(self, reading: Reading, cause: Cause | None = None) -> Explanation:
        more = cause.more if cause else self._nothing
        return Explanation(reading, True, reading.total_fits(more), cause)

    def _nearest(self) -> Explanation:
        """Nothing explains it: the width that most files have, the declared one unless another is clearly better."""
        own = self.scale.best(self.declared)
        best = min((self.scale.best(width) for width in self._widths()), key=lambda r: len(r.misfits()))
        shards = len(self.books.shards)
        clear = len(best.misfits()) < len(own.misfits()) and 2 * len(best.misfits()) < shards
        chosen = best if clear else own
        return Explanation(chosen, not chosen.misfits(), chosen.total_fits(self._nothing))
