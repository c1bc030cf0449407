"""Every rank in this process, on the meta device: the same loader, no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracer.execute.outcome import Executed
from tracer.execute.rank import LoaderFactory, load_rank
from tracer.observe import observer_of
from tracer.recorder import Note, ViewRecorder
from tracer.verified import unverified

if TYPE_CHECKING:
    from tracer.observe import Observer
    from tracer.prepare import Prepared
    from tracer.store import Store

CHUNK = 20_000
"""Notes that are held in memory before they go to the store."""


def on_meta(prepared: Prepared, store: Store, ranks: Sequence[int], loader: LoaderFactory | None = None) -> Executed:
    """Load the ranks one after the other."""
    from engine.loading.sources import MetaWeights

    why_not = ""
    for rank in ranks:
        observer = observer_of(prepared, store, rank)
        notes: list[Note] = []

        def emit(note: Note, notes: list[Note] = notes, observer: Observer = observer) -> None:
            notes.append(note)
            if len(notes) >= CHUNK:
                observer.add(notes)
                notes.clear()

        source = MetaWeights(prepared.plan.tensors)
        why_not = load_rank(prepared, rank, source, ViewRecorder(emit), "meta", loader).why_not
        observer.add(notes)
    request = prepared.request
    verified = unverified(request.verifies, request.reference, "on the meta device there are no values")
    return Executed("the meta device, all ranks in one process", why_not, verified=verified)
