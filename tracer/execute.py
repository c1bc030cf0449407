"""Runs a plan on the engine and writes what it did to a store. The only module that imports the engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer.checkpoint.weights import map_file
from tracer.errors import InputError, TraceLoadError, UsageError
from tracer.observe import Observer
from tracer.recorder import Note, Spool, ViewRecorder, read_spool

if TYPE_CHECKING:
    from engine.loader import Loader, WeightSource
    from engine.recorder import Recorder
    from tracer.prepare import Prepared, Request
    from tracer.store import Store

CHUNK = 20_000
"""Notes that are held in memory before they go to the store."""

LoaderFactory = Callable[..., "Loader"]


class Executed(NamedTuple):
    """What there is to say of a load beside its trace."""

    where: str
    """`the meta device`, `2 processes (gloo, cpu)` ..."""
    why_not: str
    """Why what was loaded cannot generate; empty where it can."""
    failure: str | None = None
    """The message of the rank that failed; the trace then ends there."""
    peak_rss: int = 0


def torch_missing() -> bool:
    """Whether the engine cannot run because torch is not installed."""
    from importlib.util import find_spec

    return find_spec("torch") is None


def on_meta(prepared: Prepared, store: Store, ranks: Sequence[int], loader: LoaderFactory | None = None) -> Executed:
    """Every rank in this process, on the meta device: the same loader, no bytes."""
    from engine.sources import MetaWeights

    why_not = ""
    for rank in ranks:
        observer = _observer(prepared, store, rank)
        notes: list[Note] = []

        def emit(note: Note, notes: list[Note] = notes, observer: Observer = observer) -> None:
            notes.append(note)
            if len(notes) >= CHUNK:
                observer.add(notes)
                notes.clear()

        why_not = load_rank(prepared, rank, MetaWeights(prepared.plan.tensors), ViewRecorder(emit), "meta", loader)
        observer.add(notes)
    return Executed("the meta device, all ranks in one process", why_not)


def load_rank(
    prepared: Prepared, rank: int, source: WeightSource, recorder: Recorder, device: str,
    loader: LoaderFactory | None = None,
) -> str:  # fmt: skip
    """Build and fill one rank. Says why it cannot generate, if so."""
    from engine.build import build
    from engine.loader import Loader

    built = build(prepared.plan, rank, device)
    (loader or Loader)(prepared.plan, rank, source, recorder).load(built.params)
    return built.why_not


def in_processes(
    prepared: Prepared, store: Store, ranks: Sequence[int], device: str, loader: LoaderFactory | None = None
) -> Executed:
    """One process a rank, each reading its own slices; what they noted until a failure is kept."""
    from engine.distributed import RankFailed, launch

    backend = "nccl" if device.startswith("cuda") else "gloo"
    where = f"{len(ranks)} process{'es' if len(ranks) > 1 else ''} ({backend}, {device})"
    failure, results = None, []
    with tempfile.TemporaryDirectory(prefix="trace-load-") as spools:
        try:
            results = launch(len(ranks), _rank_process, prepared.request, list(ranks), spools, loader, device=device)
        except RankFailed as failed:
            failure = str(failed)
        for rank in ranks:
            _observer(prepared, store, rank).add(read_spool(_spool(Path(spools), rank)))
    peak = max((peak for _, peak in results), default=0)
    return Executed(where, next((why for why, _ in results if why), ""), failure, peak)


def _rank_process(
    group: Any, request: Request, ranks: Sequence[int], spools: str, loader: LoaderFactory | None
) -> tuple[str, int]:  # fmt: skip
    """The work of one rank: headers again, the same plan, its own slices."""
    from engine.sources import MappedWeights
    from tracer.prepare import prepare
    from tracer.resources import peak_rss

    rank = ranks[group.rank]
    prepared = prepare(request)
    with Spool(_spool(Path(spools), rank)) as spool:
        source = MappedWeights(prepared.folder, prepared.infos, map_file)
        why_not = load_rank(prepared, rank, source, ViewRecorder(spool), group.device, loader)
    return why_not, peak_rss()


def _spool(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.notes"


def _observer(prepared: Prepared, store: Store, rank: int) -> Observer:
    tensors = {t.name: tuple(t.shape) for t in prepared.plan.tensors}
    return Observer(store, rank, tensors, prepared.plan.fused)


def pick_device(wanted: str | None, processes: int) -> str:
    """`cpu` or `cuda`. Raises UsageError when there are too few GPUs."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = wanted or ("cuda" if gpus >= processes else "cpu")
    if device == "cuda" and gpus < processes:
        raise UsageError(f"--device cuda: {processes} ranks need {processes} GPUs, found {gpus}")
    return device


def refuse_unloadable(prepared: Prepared) -> None:
    """Raise InputError for a data type that is listed but cannot be computed with."""
    from engine.dtypes import TORCH

    for tensor, claim in zip(prepared.infos, prepared.plan.claims, strict=True):
        if claim.disposition == "loaded" and tensor.dtype not in TORCH:
            raise InputError(
                f"{tensor.file}: {tensor.name} has data type {tensor.dtype}, which torch cannot hold; use --plan",
                subject=tensor.name,
            )


__all__ = ["Executed", "TraceLoadError", "in_processes", "on_meta", "pick_device", "refuse_unloadable", "torch_missing"]
