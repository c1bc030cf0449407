"""Whole experts over ranks instead of a slice of each, as vLLM places them with `--enable-expert-parallel`."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_EP = 512


@dataclass(frozen=True)
class Held:
    """What the ranks hold at one expert-parallel size."""

    ep: int
    experts: int
    weights: int
    """Bytes of all experts of all layers."""

    @property
    def each(self) -> tuple[int, ...]:
        """Experts of each rank; where they do not divide, the first ranks have one more."""
        every, more = divmod(self.experts, self.ep)
        return tuple(every + (rank < more) for rank in range(self.ep))

    @property
    def bytes(self) -> int:
        """Bytes of experts on the fullest rank."""
        return self.weights // self.experts * max(self.each)

    def line(self) -> str:
        own = max(self.each)
        told = f", {self.bytes / 1e9:.2f} GB of expert weights" if self.weights else ""
        return f"ep {self.ep}: {own} expert{'s' if own > 1 else ''} a rank{told}"

    def rule(self) -> str:
        """What vLLM does."""
        return (
            "vLLM: --enable-expert-parallel makes the ranks of --tp times --data-parallel-size hold whole experts; "
            f"other sizes below {self.experts} give the first ranks one expert more, above it a rank would have none"
        )


def obstacle(experts: int, ep: int) -> str | None:
    """Why experts cannot be spread evenly over so many ranks; None where they can."""
    if ep > experts:
        return f"{experts} experts on {ep} ranks: {ep - experts} of them would have none"
    if experts % ep:
        held = Held(ep, experts, 0).each
        return f"{experts} experts do not divide by {ep}: ranks would have {held[0]} and {held[-1]}"
    return None


def even(experts: int, weights: int) -> tuple[Held, ...]:
    """Every size that divides the experts."""
    sizes = range(1, min(experts, LARGEST_EP) + 1)
    return tuple(Held(ep, experts, weights) for ep in sizes if obstacle(experts, ep) is None) if experts else ()
