"""Runs a plan on the engine and writes what it did to a store. The only module that imports the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer.checkpoint.weights import map_file
from tracer.errors import InputError, UsageError
from tracer.observe import Observer
from tracer.recorder import Note, Spool, Tail, ViewRecorder, read_spool
from tracer.unchanged import Stamp, changed, stamps

if TYPE_CHECKING:
    from engine.crew import Crew
    from engine.following import Follower
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
    damage: InputError | None = None
    """What a failure says of the input: a file that changed while it was read, or that a rank could not read."""
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
    prepared: Prepared, store: Store, device: str, loader: LoaderFactory | None = None, crew: Crew | None = None
) -> Executed:  # fmt: skip
    """One process a rank, each reading its own slices; what they noted until a failure is kept.

    With a crew only rank 0 runs here, and the others where torchrun started them.
    """
    from engine.crew import Lost
    from engine.launch import RankFailed

    ranks = prepared.request.ranks
    before = stamps(prepared.folder, prepared.infos)
    failed: RankFailed | Lost | None = None
    results: list[RankResult] = []
    with TemporaryDirectory(prefix="trace-load-") as folder:
        try:
            work = _Work(prepared.request, Path(folder), device, loader)
            results = work.alone() if crew is None else work.leading(crew)
        except (RankFailed, Lost) as error:
            failed = error
        finally:
            for rank in ranks:
                observer = _observer(prepared, store, rank)
                for notes in read_spool(_spool(Path(folder), rank)):
                    observer.add(notes)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    where = f"{len(ranks)} process{'es' if len(ranks) > 1 else ''} ({backend}, {device})"
    peak = max((result.peak_rss for result in results), default=0)
    why_not = next((result.why_not for result in results if result.why_not), "")
    damage = changed(before) or _refusal(failed)
    failure = str(damage) if damage else str(failed) if failed else None
    return Executed(where, why_not, failure, damage, peak)


class RankResult(NamedTuple):
    """What a rank says at its end."""

    why_not: str
    peak_rss: int


class _Work(NamedTuple):
    """The load as its processes are given it."""

    request: Request
    spools: Path
    device: str
    loader: LoaderFactory | None

    def alone(self) -> list[RankResult]:
        """All ranks on this machine."""
        from engine.launch import launch

        ranks = list(self.request.ranks)
        return launch(len(ranks), _rank_process, self.request, ranks, str(self.spools), self.loader, device=self.device)

    def one(self, rank: int, watch: Callable[[], None]) -> RankResult:
        """One rank of several on several machines."""
        from engine.launch import launch

        tp = self.request.tp
        job = (self.request, list(range(tp)), str(self.spools), self.loader)
        (result,) = launch(tp, _rank_process, *job, device=self.device, ranks=[rank], watch=watch)
        assert isinstance(result, RankResult)
        return result

    def leading(self, crew: Crew) -> list[RankResult]:
        """Rank 0 here, the notes of the others into the spools beside its own."""
        from engine.leading import Leader

        leader = Leader(crew, self._keep)
        crew.put("order", {"device": self.device})
        try:
            own = leader.run(lambda watch: self.one(0, watch))
        except KeyboardInterrupt:
            gone = leader.lost()
            if gone is None:
                raise
            raise gone from None
        return [own, *(RankResult(*leader.done[rank]["result"]) for rank in crew.others)]

    def _keep(self, rank: int, data: bytes) -> None:
        with _spool(self.spools, rank).open("ab") as file:
            file.write(data)


def _refusal(failed: Exception | None) -> InputError | None:
    """What a rank refused as unreadable is unreadable input here too, and no failure of ours."""
    if getattr(failed, "kind", None) not in ("InputError", "UsageError"):
        return None
    labels = getattr(failed, "labels", {})
    text = str(failed).replace(f"{getattr(failed, 'kind', '')}: ", "", 1)
    return InputError(text, code=labels.get("code"), subject=labels.get("subject"))


def join(rank: int, size: int) -> Crew:
    """This process's place among those that torchrun started. Raises UsageError where they cannot meet."""
    if torch_missing():
        raise UsageError("torch is not installed (pip install 'trace-load[engine]'); without it run one process")
    import torch

    from engine.crew import Crew, Lost

    try:
        crew = Crew(rank, size)
        crew.put(f"hello/{rank}", {"gpus": torch.cuda.device_count() if torch.cuda.is_available() else 0,
                                   "ranks": int(os.environ.get("LOCAL_WORLD_SIZE", size))})  # fmt: skip
    except Lost as error:
        raise UsageError(str(error)) from error
    return crew


def dismiss(crew: Crew, status: int) -> None:
    """The end of rank 0: the others exit with the same status."""
    from engine import leading

    leading.dismiss(crew, status)


def follow(crew: Crew, request: Request, ended: Callable[[], int | None]) -> int:
    """The part of another rank than 0: load when told to, hand over the notes; the status to exit with."""
    from engine.crew import Lost
    from engine.following import Follower

    follower = Follower(crew, ended)
    try:
        order = follower.order()
        if order is not None:
            with TemporaryDirectory(prefix="trace-load-") as folder:
                done = _follow(follower, _Work(request, Path(folder), order["device"], None), crew.rank)
            follower.report(done)
    except Lost:
        pass
    return follower.verdict()


def _follow(follower: Follower, work: _Work, rank: int) -> dict[str, Any]:
    """Load one rank, sending on its notes as they are made; how it went."""
    from engine.following import Stopped
    from engine.launch import RankFailed

    spool = _spool(work.spools, rank)
    tail = Tail(spool)

    def watch() -> None:
        follower.send(tail())
        follower.check()

    done: dict[str, Any] = {"ok": False, "stopped": False, "kind": "", "labels": {}, "message": ""}
    try:
        done |= {"ok": True, "result": work.one(rank, watch)}
    except RankFailed as failed:
        done |= {"message": failed.message, "kind": failed.kind, "labels": failed.labels}
    except Stopped:
        done["stopped"] = True
    except OSError as error:
        done |= {"message": f"{type(error).__name__}: {error}", "kind": type(error).__name__}
    follower.send(tail())
    damage = changed({note[1]: Stamp(*note[2:]) for notes in read_spool(spool) for note in notes if note[0] == "file"})
    if damage is not None and not done["stopped"]:
        labels = {"code": damage.code or "", "subject": damage.subject or ""}
        done |= {"ok": False, "message": f"InputError: {damage}", "kind": "InputError", "labels": labels}
    return done


def _rank_process(
    group: Any, request: Request, ranks: Sequence[int], spools: str, loader: LoaderFactory | None
) -> RankResult:  # fmt: skip
    """The work of one rank: headers again, the same plan, its own slices."""
    from engine.sources import MappedWeights
    from tracer.prepare import prepare
    from tracer.resources import peak_rss

    rank = ranks[group.rank]
    prepared = prepare(request)
    with Spool(_spool(Path(spools), rank)) as spool:
        for path, stamp in stamps(prepared.folder, prepared.infos).items():
            spool(["file", path, *stamp])
        spool.flush()
        source = MappedWeights(prepared.folder, prepared.infos, map_file)
        why_not = load_rank(prepared, rank, source, ViewRecorder(spool), group.device, loader)
    return RankResult(why_not, peak_rss())


def _spool(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank}.notes"


def _observer(prepared: Prepared, store: Store, rank: int) -> Observer:
    tensors = {t.name: tuple(t.shape) for t in prepared.plan.tensors}
    return Observer(store, rank, tensors, prepared.plan.fused)


def pick_device(wanted: str | None, processes: int, crew: Crew | None = None) -> str:
    """`cpu` or `cuda`: where every rank has a GPU. Raises UsageError when there are too few of those asked for."""
    if crew is not None:
        from engine.crew import Lost
        from engine.launch import RankFailed
        from engine.leading import assemble

        try:
            short = [(rank, hello) for rank, hello in enumerate(assemble(crew)) if hello["gpus"] < hello["ranks"]]
        except (RankFailed, Lost) as failed:
            raise UsageError(f"cannot begin: {failed}") from failed
        lacking = [f"the machine of rank {rank} has {hello['gpus']} for {hello['ranks']}" for rank, hello in short]
        return _device(wanted, lacking, processes)
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return _device(wanted, [f"found {gpus}"] if gpus < processes else [], processes)


def _device(wanted: str | None, lacking: Sequence[str], processes: int) -> str:
    device = wanted or ("cpu" if lacking else "cuda")
    if device == "cuda" and lacking:
        raise UsageError(f"--device cuda: {processes} ranks need {processes} GPUs, {lacking[0]}")
    return device


def refuse_unloadable(prepared: Prepared) -> None:
    """Raise InputError for a data type that is listed but cannot be computed with."""
    from engine.dtypes import TORCH

    for tensor, claim in zip(prepared.infos, prepared.plan.claims, strict=True):
        if claim.disposition == "loaded" and tensor.dtype not in TORCH:
            raise InputError(
                f"{tensor.file}: {tensor.name} has data type {tensor.dtype}, which torch cannot hold;"
                " use --plan or --load-format dummy",
                subject=tensor.name,
            )


__all__ = [
    "Crew", "Executed", "dismiss", "follow", "in_processes", "join", "on_meta", "pick_device", "refuse_unloadable",
    "torch_missing",
]  # fmt: skip
