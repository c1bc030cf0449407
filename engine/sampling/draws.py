"""Random numbers that depend on a sequence's seed and step and on nothing else.

No generator keeps a state: batch mates, ranks, devices and preemption cannot change what a sequence draws.
"""

from __future__ import annotations

from hashlib import blake2b

_BITS = 48
"""Few enough that a draw times any float64 total stays below that total."""


def uniform(seed: int, step: int) -> float:
    """A number from [0, 1), a multiple of 2**-48: the hash of both."""
    digest = blake2b(f"{seed} {step}".encode(), digest_size=_BITS // 8).digest()
    return int.from_bytes(digest) / (1 << _BITS)
