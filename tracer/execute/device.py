"""What the engine runs on, and what it cannot run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tracer.errors import InputError, UsageError

if TYPE_CHECKING:
    from engine.crew.meeting import Crew
    from tracer.prepare import Prepared


def torch_missing() -> bool:
    """Whether the engine cannot run because torch is not installed."""
    from importlib.util import find_spec

    return find_spec("torch") is None


def pick_device(
    wanted: str | None, processes: int, crew: Crew | None = None, command: str = "trace-load"
) -> str:  # fmt: skip
    """`cpu` or `cuda`: where every rank has a GPU. Raises UsageError when there are too few of those asked for.

    `command` is who says which ranks of a crew are waited for.
    """
    own = equipment(processes)
    if crew is not None:
        return _device(wanted, _lacking(crew, own, partial(_tell_late, command)), processes)
    gpus = own["gpus"]
    return _device(wanted, [f"found {gpus}"] if gpus < processes else [], processes)


def equipment(size: int) -> dict[str, int]:
    """The GPUs of this machine, and the ranks that share it. Raises UsageError where torch does not work."""
    try:
        import torch
    except (ImportError, OSError) as error:
        raise UsageError(f"torch is installed and cannot be imported: {error}") from error
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {"gpus": gpus, "ranks": int(os.environ.get("LOCAL_WORLD_SIZE", size))}


def _lacking(crew: Crew, own: dict[str, int], late: Callable[[list[int]], None]) -> list[str]:
    """The ranks whose machines have too few GPUs. Raises UsageError unless all have come."""
    from engine.crew.leading import assemble
    from engine.crew.link import Lost
    from engine.processes.failed import RankFailed

    try:
        hellos = assemble(crew, own, late)
    except (RankFailed, Lost) as failed:
        raise UsageError(str(failed)) from failed
    short = [(rank, hello) for rank, hello in enumerate(hellos) if hello["gpus"] < hello["ranks"]]
    return [f"the machine of rank {rank} has {hello['gpus']} for {hello['ranks']}" for rank, hello in short]


def _tell_late(command: str, ranks: Sequence[int]) -> None:
    """A user who waits wants to know for whom."""
    named = ", ".join(map(str, ranks[:8])) + (f" and {len(ranks) - 8} more" if len(ranks) > 8 else "")
    print(f"{command}: waiting for rank{'s' if len(ranks) > 1 else ''} {named}", file=sys.stderr, flush=True)


def _device(wanted: str | None, lacking: Sequence[str], processes: int) -> str:
    device = wanted or ("cpu" if lacking else "cuda")
    if device == "cuda" and lacking:
        needed = f"{processes} ranks need {processes} GPUs" if processes > 1 else "it needs a GPU"
        raise UsageError(f"--device cuda: {needed}, {lacking[0]}")
    return device


def refuse_unloadable(prepared: Prepared) -> None:
    """Raise InputError for a data type that is listed but cannot be computed with."""
    from engine.dtypes import TORCH

    for tensor, claim in zip(prepared.infos, prepared.plan.claims, strict=True):
        if claim.disposition == "loaded" and tensor.dtype not in TORCH:
            raise InputError(
                f"{tensor.file}: {tensor.name} has data type {tensor.dtype}, which torch cannot hold"
                + ("" if prepared.request.generates else "; use --plan or --load-format dummy"),
                subject=tensor.name,
            )
