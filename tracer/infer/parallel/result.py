"""What comes out: legal sizes with reasons, and what a rank then holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mappings.names import runs
from mappings.proof.ranks import LARGEST_TP
from tracer.infer.parallel.cache import Cache
from tracer.infer.parallel.experts import Held
from tracer.infer.parallel.stages import Stages

TP_SHOWN = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of ranks that memory is told for, where they are legal."""
ACCELERATORS = (24, 48, 80, 141)
"""Memory in gigabytes (10^9 bytes): L4 and 4090, L40S and A6000, A100 and H100, H200."""
USED = 0.9
"""The share of the memory that is used, as in vLLM where nothing else is asked for (`gpu_memory_utilization`)."""
GIGABYTE = 10**9
_MOST_RUNS = 20
"""Of numbers without a gap between them, in one line."""


@dataclass(frozen=True)
class Obstacle:
    """Why a number of ranks is illegal: the first axis that it cannot cut."""

    tp: int
    axis: str
    """As the config spells it, where it has a field: `num_attention_heads`."""
    size: int
    reason: str


@dataclass(frozen=True)
class Rank:
    """What the fullest rank of so many holds."""

    tp: int
    weights: int
    """Bytes."""
    cache: Cache
    kv_copies: int = 1
    """How many ranks hold each KV head."""

    def tokens(self, gigabytes: int) -> int | None:
        """How many tokens of one sequence fit beside the weights; None where the weights do not. Activations,
        graphs and the framework's own memory come off what is left.
        """  # fmt: skip
        free = int(gigabytes * GIGABYTE * USED) - self.weights
        return None if free < 0 else self.cache.tokens(free)


@dataclass(frozen=True)
class Parallel:
    """How a model can be divided."""

    tp: tuple[int, ...]
    """Legal numbers of tensor-parallel ranks, up to LARGEST_TP."""
    obstacles: tuple[Obstacle, ...]
    """One for each illegal number up to there."""
    ranks: tuple[Rank, ...]
    stages: tuple[Stages, ...]
    """Pipelines of a few sizes; every size up to the number of layers is legal."""
    layers: int
    experts: tuple[Held, ...] = ()
    """Expert-parallel sizes that divide the experts; empty where there are none."""
    source: str = ""
    """What the bytes are taken from, and whether they are exact."""
    guesses: tuple[str, ...] = ()
    """Fields that all of this rests on, and that nothing says for sure: `num_attention_heads = 16`."""

    def lines(self) -> Iterator[str]:
        """As it is printed."""
        yield f"--tp: {_listed(self.tp) if len(self.tp) <= _MOST_RUNS else runs(self.tp)} (judged up to {LARGEST_TP})"
        if self.guesses:
            yield f"  if the guess is right: {', '.join(self.guesses)}"
        yield from (f"  not {line}" for line in _reasons(self.obstacles))
        yield from (f"  {line}" for line in self._memory())
        yield f"--pp: 1..{self.layers}"
        yield from (f"  {stages.line()}" for stages in self.stages)
        if self.experts:
            total = self.experts[0].experts
            yield f"expert parallel: {_listed([held.ep for held in self.experts])} divide {total} experts"
            yield f"  {self.experts[0].rule()}"
            yield from (f"  {held.line()}" for held in self.experts if held.ep in TP_SHOWN[1:])

    def _memory(self) -> Iterator[str]:
        if self.ranks:
            yield f"bytes a rank: {self.source}"
            yield from self.ranks[0].cache.notes()
        for rank in self.ranks:
            fits = ", ".join(f"{gb} GB: {_tokens(rank.tokens(gb))}" for gb in ACCELERATORS)
            copies = f", each KV head on {rank.kv_copies} ranks" if rank.kv_copies > 1 else ""
            yield f"tp {rank.tp}: {size(rank.weights)} of weights, {rank.cache.line()}{copies}; tokens that fit {fits}"


def size(nbytes: int) -> str:
    """Bytes in a unit that keeps three digits: decimal units, as memory is sold."""
    for unit, of in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= of:
            return f"{nbytes / of:.2f} {unit}"
    return f"{nbytes} bytes"


def _tokens(tokens: int | None) -> str:
    if tokens is None:
        return "not even the weights"
    return "any" if tokens >= Cache.UNBOUNDED else f"{tokens:,}"


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def _reasons(obstacles: Sequence[Obstacle]) -> Iterator[str]:
    """Illegal numbers of ranks by what they cannot cut; the reason is spelled out for the smallest."""
    by_axis: dict[str, list[Obstacle]] = {}
    for obstacle in obstacles:
        by_axis.setdefault(obstacle.axis, []).append(obstacle)
    for axis, same in by_axis.items():
        first = same[0]
        rest = ", and so on" if len(same) > 1 else ""
        told = runs(o.tp for o in same).split(", ")
        more = f" and {len(told) - _MOST_RUNS} more" if len(told) > _MOST_RUNS else ""
        yield f"{', '.join(told[:_MOST_RUNS])}{more}: {axis} ({first.tp}: {first.reason}{rest})"
