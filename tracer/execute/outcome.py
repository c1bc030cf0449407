"""How a load went."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracer.errors import InputError
from tracer.verified import Verified


class RankResult(NamedTuple):
    """What a rank says at its end."""

    why_not: str
    peak_rss: int
    passed: dict[str, Any] | None = None
    """Its forward pass (`verify.passed`), where one was asked for and this rank is not alone of several."""


class Executed(NamedTuple):
    """What there is to say of a load beside its trace."""

    where: str
    """`the meta device`, `2 processes (gloo, cpu)` ..."""
    why_not: str
    """Why what was loaded cannot generate; empty where it can."""
    failure: str | None = None
    """The message of the rank that failed; the trace then ends there."""
    failed_rank: int | None = None
    """That rank; None where all lost each other."""
    damage: InputError | None = None
    """What a failure says of the input: a file that changed while it was read, or that a rank could not read."""
    peak_rss: int = 0
    verified: tuple[Verified, ...] = ()
    """What computing with it has shown, where that was asked for."""
