"""What torchrun says of a process in its environment."""

from __future__ import annotations

import os
from typing import NamedTuple

GIVEN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets. A job scheduler that sets some of them does not mean this."""


class World(NamedTuple):
    """This process among those that torchrun started."""

    rank: int
    size: int


def world() -> World | None:
    """None where torchrun did not start this process. Raises ValueError for numbers that are none."""
    if not all(os.environ.get(name) for name in GIVEN):
        return None
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ValueError(f"RANK={rank} WORLD_SIZE={size} in the environment: expected a rank below the world's size")
    return World(int(rank), int(size))
