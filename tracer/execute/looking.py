"""Looks at what ranks in processes of their own have noted by now, while they go on; the trace is written afterwards.

Ranks tell of their copies in turns, and a trace has them rank by rank. So nothing is written here: notes are counted,
for whoever follows the load.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from math import prod
from typing import TYPE_CHECKING, TypeAlias

from mappings.views import Shape
from tracer.errors import InputError
from tracer.observe import Observer
from tracer.recorder import Growing, Note, last_move, next_batch
from tracer.sending import next_sent
from tracer.shares import Weight

if TYPE_CHECKING:
    from tracer.execute.rank import Job
    from tracer.live import Live
    from tracer.standing import Share


Alike: TypeAlias = tuple[str, Shape, Weight | None]
"""What copies have in common that make as many moves of as many bytes: their row, the sizes of their views, and what
an element takes on disk. A tensor that the plan does not know has no size."""


class Look:
    """Called all the while; now and then it counts and tells."""

    def __init__(self, job: Job, live: Live, observers: Mapping[int, Observer], sizes: Mapping[str, Weight]) -> None:
        self._live = live
        self._ranks = [_Rank(job, observer, live.share(rank), sizes, rank) for rank, observer in observers.items()]

    def __call__(self) -> None:
        if not self._live.due:
            return
        began = time.monotonic()
        for rank in self._ranks:
            rank.count()
        self._live.tell(began)


class _Rank:
    """The notes of one rank: in a spool of this machine, or sent from another."""

    def __init__(
        self, job: Job, observer: Observer, share: Share, sizes: Mapping[str, Weight], rank: int
    ) -> None:  # fmt: skip
        self._observer = observer
        self._share = share
        self._sizes = sizes
        self._known: dict[Alike, tuple[int, int]] = {}
        """Moves and bytes of a copy."""
        self._sources = Growing(job.spool(rank), next_batch), Growing(job.sent(rank), partial(next_sent, rank))

    def count(self) -> None:
        share = self._share
        for notes in self._new():
            self._observer.learn([note for note in notes if note[0] == "param"])
            copies = [note for note in notes if note[0] == "move"]
            keys: list[Alike] = [(note[3], note[7], self._sizes.get(note[1])) for note in copies]
            alike = dict(zip(keys, copies, strict=True))
            for key, times in Counter(keys).items():
                moves, nbytes = self._known.get(key) or self._known.setdefault(key, self._cost(alike[key], key[2]))
                share.moves += times * moves
                share.nbytes += times * nbytes
            share.tensor, share.param = last_move(copies) or (share.tensor, share.param)

    def _new(self) -> Iterator[list[Note]]:
        for source in self._sources:
            with suppress(InputError, OSError):  # told when the trace is written
                yield from source()

    def _cost(self, copy: Note, weight: Weight | None) -> tuple[int, int]:
        """Its moves, and the bytes that it read."""
        return self._observer.count(copy), weight.of(prod(copy[7])) if weight else 0
