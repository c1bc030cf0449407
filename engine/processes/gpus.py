"""Whether this machine has a GPU for each rank: asked before anything is loaded."""

from __future__ import annotations

import torch


def check_gpus(device: str, ranks: int) -> None:
    """Raises ValueError for ranks that are all to compute here, on `cuda`, or for one on `cuda:N`, where GPUs lack."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return
    needed = int(number) + 1 if number else ranks
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < needed:
        raise ValueError(f"device {device}, tp {ranks}: expected {needed} GPU{'s' * (needed > 1)}, found {found}")
