"""Which GPUs the ranks of this machine take, and whether there are so many: asked before anything is loaded."""

from __future__ import annotations

import os

import torch

from engine.crew.world import world


def own_gpu(device: str) -> str:
    """Where a process computes alone: `cuda` is, under torchrun, the GPU of its number on its machine."""
    return f"cuda:{int(os.environ['LOCAL_RANK'])}" if device == "cuda" and world() is not None else device


def ranks_here(tp: int, apart: bool) -> int:
    """How many ranks of a model are on this machine: all, unless torchrun started each, which counts them."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or int(os.environ["LOCAL_RANK"]) + 1) if apart else tp


def check_gpus(device: str, tp: int, here: int) -> None:
    """Raises ValueError where GPUs lack for the ranks that are `here`, of `tp`, or where these would share one."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return
    if number and here > 1:
        raise ValueError(f"device {device}, tp {tp}: expected cuda, which is a GPU for each rank; found one for {here}")
    needed = int(number) + 1 if number else here
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < needed:
        raise ValueError(f"device {device}, tp {tp}: expected {needed} GPU{'s' * (needed > 1)}, found {found}")
