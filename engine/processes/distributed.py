"""A rank's place among the others: the collectives, over torch.distributed.

Under torchrun each process calls `connect()`; without it, `launch` starts the ranks of this machine itself and hands
each its connected group.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from engine.processes.failed import PeersLost

AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
"""Whether somebody else than rank 0 serves the store: torch reads it."""
ENVIRONMENT = "env://"
"""Where ranks meet that torchrun started: as RANK, MASTER_ADDR and so on say. `env://NAME` is a meeting of its own."""


@dataclass(frozen=True)
class ProcessGroup:
    """One rank's end of the default group of torch.distributed: gloo on CPUs, NCCL on GPUs."""

    rank: int
    size: int
    device: str = "cpu"
    """Where this rank computes: `cpu`, or `cuda:N`."""

    def all_reduce(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over ranks; `x` is overwritten by it where it is contiguous."""
        x = x.contiguous()
        try:
            dist.all_reduce(x)
        except RuntimeError as error:
            raise PeersLost(str(error)) from error
        return x

    def all_gather(self, x: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors side by side along the last dimension, in rank order."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        try:
            dist.all_gather(parts, x.contiguous())
        except RuntimeError as error:
            raise PeersLost(str(error)) from error
        return torch.cat(parts, dim=-1)


def host_meeting(rank: int) -> object | None:
    """Have a process that outlives its rank serve the store at which the groups meet, unless torchrun itself does.

    The store must stay until the slowest rank has met the others, and rank 0 may be done by then. Called by whoever
    watches over a rank; keep what is returned. Raises RuntimeError where the port is taken.
    """
    if os.environ.get(AGENT_STORE) == "True":
        return None
    os.environ[AGENT_STORE] = "True"
    if rank:
        return None
    where, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(where, port, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]


@contextmanager
def connect(
    device: str = "cpu", *, rank: int | None = None, size: int | None = None, init_method: str = ENVIRONMENT
) -> Iterator[ProcessGroup]:  # fmt: skip
    """Join the other ranks and leave them at the end.

    Without arguments it reads RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, as torchrun sets them. On `cuda`
    the rank takes the GPU of its number on this machine (LOCAL_RANK, else its rank); `cuda:N` is taken as it is.
    Groups that meet at one store one after another, or at that of a program around them, have names (`env://NAME`):
    what was written there by others than their own ranks is no address of these.
    """
    rank = int(os.environ["RANK"]) if rank is None else rank
    size = int(os.environ["WORLD_SIZE"]) if size is None else size
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if init_method.removeprefix(ENVIRONMENT) in ("", init_method):
        dist.init_process_group(backend, init_method=init_method, rank=rank, world_size=size)
    else:
        store, _, _ = next(rendezvous(init_method, rank, size))
        named = dist.PrefixStore(init_method, store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=named, rank=rank, world_size=size)
    try:
        yield ProcessGroup(rank, size, device)
    finally:
        dist.destroy_process_group()
