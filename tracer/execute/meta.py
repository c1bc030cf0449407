"""Every rank in this process, on the meta device: the same loader, no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracer.execute.outcome import Executed
from tracer.execute.rank import LoaderFactory, load_rank
from tracer.observe import observers_of
from tracer.recorder import Note, ViewRecorder, last_move
from tracer.verified import unverified

if TYPE_CHECKING:
    from tracer.live import Live
    from tracer.observe import Observer
    from tracer.prepare import Prepared
    from tracer.store import Store

CHUNK = 20_000
"""Notes that are held in memory before they go to the store."""


class Desk:
    """Where a rank's notes wait for the store."""

    def __init__(self, observer: Observer, live: Live, rank: int) -> None:
        self._observer = observer
        self._live = live
        self._share = live.share(rank)
        self._notes: list[Note] = []

    def __call__(self, note: Note) -> None:
        self._notes.append(note)
        if len(self._notes) >= CHUNK:
            self.clear()

    def clear(self) -> None:
        """Put what is here into the store."""
        self._share.moves += self._observer.add(self._notes)
        if last := last_move(self._notes):
            self._share.tensor, self._share.param = last
        self._notes.clear()
        if self._live.due:
            self._live.tell()


def on_meta(prepared: Prepared, store: Store, ranks: Sequence[int], loader: LoaderFactory | None = None) -> Executed:
    """Load the ranks one after the other."""
    from engine.loading.sources import MetaWeights

    why_not = ""
    for rank, observer in observers_of(prepared, store, ranks).items():
        desk = Desk(observer, store.live, rank)
        source = MetaWeights(prepared.plan.tensors)
        why_not = load_rank(prepared, rank, source, ViewRecorder(desk), "meta", loader).why_not
        desk.clear()
    request = prepared.request
    verified = unverified(request.verifies, request.reference, "on the meta device there are no values")
    return Executed("the meta device, all ranks in one process", why_not, verified=verified)
