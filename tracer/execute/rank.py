"""The work of one rank, in a process of its own: headers again, the same plan, its own slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer import agreement
from tracer.checkpoint.stamp import Stamp
from tracer.errors import UsageError
from tracer.execute.alike import prepare_alike
from tracer.execute.outcome import RankResult
from tracer.recorder import Spool, ViewRecorder
from tracer.unchanged import mapping_of

if TYPE_CHECKING:
    from engine.loading.build import Built
    from engine.loading.loader import Loader, WeightSource
    from engine.loading.recorder import Recorder
    from engine.parallel import Group
    from tracer.prepare import Prepared, Request

LoaderFactory = Callable[..., "Loader"]


class Job(NamedTuple):
    """The load as the processes of its ranks are given it."""

    request: Request
    ranks: Sequence[int]
    """Which rank each process of the group is: `--rank 3` is a group of one."""
    spools: Path
    """The folder for their notes."""
    loader: LoaderFactory | None
    agreed: agreement.Terms
    """What the plan was made of that the load was ordered with, which on other machines was other files."""
    stamps: dict[str, Stamp]
    """Of the files that were read then, where they are on this machine."""

    def spool(self, rank: int) -> Path:
        """Where a rank of this machine writes its notes."""
        return self.spools / f"rank{rank}.notes"

    def sent(self, rank: int) -> Path:
        """Where the notes of a rank of another machine are collected."""
        return self.spools / f"rank{rank}.jsonl"

    @property
    def states(self) -> Path:
        """Where rank 0, which is on this machine, keeps what its modules made of the prompt."""
        return self.spools / "states"


def rank_process(group: Any, job: Job) -> RankResult:
    """Load one rank, noting what its copies do. Raises InputError where it does not find what was agreed,
    UsageError where it has no memory for its parameters.
    """
    from engine.loading.sources import MappedWeights
    from tracer.resources import peak_rss

    rank = job.ranks[group.rank]
    prepared, stamps = prepare_alike(job.request, job.agreed, job.stamps)
    with Spool(job.spool(rank)) as spool:
        for path, stamp in stamps.items():
            spool(["file", path, *stamp])
        spool.flush()
        source = MappedWeights(prepared.folder, prepared.infos, mapping_of(stamps))
        built = load_rank(prepared, rank, source, ViewRecorder(spool, spool.flush), group.device, job.loader, group)
    return RankResult(built.why_not, peak_rss(), _verify(group, job, prepared, built))


def _verify(group: Any, job: Job, prepared: Prepared, built: Built) -> dict[str, Any] | None:
    """The forward pass, where one is asked for and all ranks are here; after the load and all its notes."""
    if not job.request.verifies or len(job.ranks) < job.request.tp:
        return None
    from tracer.execute.verify.passing import verify_rank

    return verify_rank(group, prepared.plan, built, job.states if job.request.reference else None)


def load_rank(
    prepared: Prepared, rank: int, source: WeightSource, recorder: Recorder, device: str,
    loader: LoaderFactory | None = None, group: Group | None = None,
) -> Built:  # fmt: skip
    """Build and fill one rank, which talks to the others through `group` when it computes.

    Raises UsageError where there is no memory for its parameters.
    """
    from engine.loading.build import build, parameter_bytes
    from engine.loading.loader import Loader
    from engine.memory import allocating
    from engine.parallel import ALONE

    what = f"its parameters: {parameter_bytes(prepared.plan, rank):,} bytes"
    try:
        with allocating(what, "a larger --tp or a narrower --dtype takes less on each rank", device):
            built = build(prepared.plan, rank, device, group or ALONE)
    except MemoryError as error:
        raise UsageError(str(error)) from error
    (loader or Loader)(prepared.plan, rank, source, recorder).load(built.params)
    return built
