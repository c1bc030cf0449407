"""One process a rank, each reading its own slices; what they noted until a failure is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tracer import agreement
from tracer.errors import InputError
from tracer.execute import rank as rank_module
from tracer.execute.alike import stamps_of
from tracer.execute.looking import Look
from tracer.execute.outcome import Executed, RankResult
from tracer.execute.rank import Job, LoaderFactory
from tracer.execute.sharing import lead_load
from tracer.execute.verify.sound import sound_of
from tracer.execute.verify.verdicts import is_verification, verdicts
from tracer.observe import observers_of
from tracer.recorder import Note, read_spool
from tracer.sending import read_sent
from tracer.shares import weights
from tracer.unchanged import changed

if TYPE_CHECKING:
    from engine.crew.link import Lost
    from engine.crew.meeting import Crew
    from engine.processes.failed import RankFailed
    from tracer.prepare import Prepared
    from tracer.store import Store


def in_processes(
    prepared: Prepared, store: Store, device: str, loader: LoaderFactory | None = None, crew: Crew | None = None
) -> Executed:  # fmt: skip
    """All ranks on this machine; with a crew only rank 0 is here, and the others are where torchrun started them.

    Raises InputError for notes from another machine that are none, and for a reference that cannot be read.
    """
    sound = sound_of(prepared)
    stamps = stamps_of(prepared)
    with TemporaryDirectory(prefix="trace-load-") as folder:
        ranks = prepared.request.ranks
        job = Job(prepared.request, ranks, Path(folder), loader, agreement.terms(prepared), stamps)
        observers = observers_of(prepared, store, ranks)
        look = Look(job, store.live, observers, weights(prepared.infos)) if store.live.told else None
        try:
            results, failed = _run(job, device, crew, look)
        finally:
            store.live.enter("writing the trace")
            for rank, observer in observers.items():
                for notes in _notes(job, rank):
                    observer.add(notes)
        damage = changed(stamps) or _refusal(failed)
        verified = verdicts(prepared, sound, results, damage or failed, job.states)
    if is_verification(failed):
        failed = None
    return _executed(len(ranks), device, results, failed, damage)._replace(verified=verified)


def _run(
    job: Job, device: str, crew: Crew | None, look: Look | None
) -> tuple[Sequence[RankResult], RankFailed | Lost | None]:  # fmt: skip
    """The ranks' results, or what ended them."""
    from engine.crew.link import Lost
    from engine.processes.failed import RankFailed
    from engine.processes.launch import launch

    try:
        if crew is not None:
            return lead_load(crew, job, device, look), None
        return launch(len(job.ranks), rank_module.rank_process, job, device=device, watch=look), None
    except (RankFailed, Lost) as error:
        return [], error


def _notes(job: Job, rank: int) -> Iterator[list[Note]]:
    yield from read_spool(job.spool(rank))
    yield from read_sent(job.sent(rank), rank)


def _refusal(failed: RankFailed | Lost | None) -> InputError | None:
    """What a rank refused as unreadable is unreadable input here too, and no failure of ours."""
    kind = getattr(failed, "kind", None)
    if kind not in ("InputError", "UsageError"):
        return None
    labels = getattr(failed, "labels", {})
    return InputError(
        str(failed).replace(f"{kind}: ", "", 1), code=labels.get("code"), subject=labels.get("subject")
    )  # fmt: skip


def _executed(
    size: int, device: str, results: Sequence[RankResult], failed: RankFailed | Lost | None, damage: InputError | None
) -> Executed:  # fmt: skip
    backend = "nccl" if device.startswith("cuda") else "gloo"
    error = damage or failed
    return Executed(
        f"{size} process{'es' if size > 1 else ''} ({backend}, {device})",
        next((result.why_not for result in results if result.why_not), ""),
        None if error is None else str(error), getattr(failed, "rank", None), damage,
        max((result.peak_rss for result in results), default=0),
    )  # fmt: skip
