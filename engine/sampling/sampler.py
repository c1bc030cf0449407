"""From logits to tokens: the likeliest id, or one drawn from what temperature, top-k, top-p and min-p leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.parallel import ALONE, Group, from_all
from engine.sampling.draws import uniform
from engine.sampling.params import Sampling
from engine.sampling.survivors import surviving_scores

AT_ONCE = 1 << 21
"""Logits that are drawn from at once on a CPU. The memory of larger intermediates goes back to the system and is
faulted in anew at every step: for 64 rows of 128,000 that takes most of the time."""
_LARGEST = torch.finfo(torch.float32).max


class NotFinite(ValueError):
    """Logits that no token can be chosen from: NaN or +inf among them, or nothing but -inf."""

    def __init__(self, found: Mapping[int, str]) -> None:
        """What is wrong with each row of which this is true."""
        super().__init__(found)  # all that is needed to make it again: it may have to leave its process
        self.found = dict(found)

    def __str__(self) -> str:
        told = [f"row {row}: {what}" for row, what in self.found.items()]
        return "; ".join(told[:3]) + (f"; so in {len(told) - 3} more rows" if len(told) > 3 else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token of a sequence."""

    token: int
    logprob: float | None = None
    """Natural logarithm of its probability before temperature and filters; None if not asked for."""
    top: list[tuple[int, float]] | None = None
    """The most likely ids with theirs, most likely first, of equal ones the lowest id first; none of probability 0."""


class Sampler:
    """Chooses a token for each row. It keeps no state, so that batches cannot drift apart."""

    def __init__(self, group: Group = ALONE) -> None:
        """`group`: the ranks that choose from the same logits; whatever one draws, all take what rank 0 draws."""
        self._group = group

    def sample(self, logits: Tensor, samplings: Sequence[Sampling], steps: Sequence[int]) -> list[Choice]:
        """Logits (rows, vocab) of any float type -> a choice for each row; they are left as they are.

        `steps`: how many tokens each sequence has generated; with its seed, that is all a draw depends on. A greedy row
        takes the likeliest id, the lowest of equal ones. Raises NotFinite, and ValueError for a row that is drawn
        without a seed.
        """
        assert len(samplings) == len(steps) == len(logits), "one of each a row"
        if not samplings:
            return []
        best, likeliest = logits.max(-1)
        heights = best.tolist()
        if not all(map(_is_finite, heights)):
            raise NotFinite(
                {row: _count(logits[row]) for row, height in enumerate(heights) if not _is_finite(height)}
            )  # fmt: skip
        tokens: list[int] = likeliest.tolist()
        drawn = [row for row, height in enumerate(heights) if not _is_greedy(samplings[row], height)]
        for row, token in zip(drawn, self._drawn(drawn, logits, samplings, steps), strict=True):
            tokens[row] = token
        return _with_logprobs(logits, tokens, samplings)

    def _drawn(
        self, rows: list[int], logits: Tensor, samplings: Sequence[Sampling], steps: Sequence[int]
    ) -> list[int]:  # fmt: skip
        """A token for each of some rows. Softmax and sums differ in their last bits between two kinds of processors,
        and on a GPU from one time to the next: what is drawn at the border of two ids may be either.
        """  # fmt: skip
        tokens: list[int] = []
        for some in _portions(rows, logits):
            tokens += _draw(logits[some], [samplings[row] for row in some], [steps[row] for row in some])
        return from_all(tokens, self._group, logits.device)[0] if tokens else tokens


def _is_finite(height: float) -> bool:
    """Of a row's maximum, which is NaN if any logit is, and infinite if one is or all are."""
    return abs(height) <= _LARGEST


def _count(row: Tensor) -> str:
    """How many are not finite, and of what kind: `7 (5 NaN, 2 +inf) of 200 logits are not finite`."""
    kinds = {"NaN": row.isnan(), "+inf": row.isposinf(), "-inf": row.isneginf()}
    found = {name: int(where.sum()) for name, where in kinds.items()}
    spelled = ", ".join(f"{count} {name}" for name, count in found.items() if count)
    return f"{sum(found.values())} ({spelled}) of {len(row)} logits are not finite"


def _is_greedy(sampling: Sampling, height: float) -> bool:
    """Whether nothing but the likeliest is left: at temperature 0, and where dividing by it leaves float32."""
    return sampling.temperature * _LARGEST <= max(abs(height), 4.0)


def _portions(rows: list[int], logits: Tensor) -> Iterator[list[int]]:
    size = max(1, AT_ONCE // logits.shape[1]) if logits.device.type == "cpu" else max(1, len(rows))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _draw(logits: Tensor, samplings: Sequence[Sampling], steps: Sequence[int]) -> list[int]:
    """The first id, in order of ids, by which the probabilities make more than the row's random number.

    One number a row is drawn, not one a logit, and outside torch: the same on every device.
    """
    draws = [uniform(_seed(sampling), step) for sampling, step in zip(samplings, steps, strict=True)]
    odds = surviving_scores(logits, samplings).softmax(-1)
    sums = odds.cumsum(-1, dtype=torch.float64)
    goal = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None] * sums[:, -1:]
    tokens: list[int] = torch.searchsorted(sums, goal, right=True)[:, 0].tolist()
    return tokens


def _seed(sampling: Sampling) -> int:
    if sampling.seed is None:
        raise ValueError("sampling: seed: expected the number that was drawn when the request arrived, found None")
    return sampling.seed


def _with_logprobs(logits: Tensor, tokens: list[int], samplings: Sequence[Sampling]) -> list[Choice]:
    asking = [row for row, sampling in enumerate(samplings) if sampling.logprobs is not None]
    if not asking:
        return [Choice(token) for token in tokens]
    known = dict(zip(asking, torch.log_softmax(logits[asking].float(), -1), strict=True))
    return [
        _told(known[row], token, sampling.logprobs) if sampling.logprobs is not None else Choice(token)
        for row, (token, sampling) in enumerate(zip(tokens, samplings, strict=True))
    ]  # fmt: skip


def _told(logprobs: Tensor, token: int, count: int) -> Choice:
    """Of one row's log-probabilities (vocab,)."""
    return Choice(token, float(logprobs[token]), _most_likely(logprobs, min(count, len(logprobs))))


def _most_likely(logprobs: Tensor, count: int) -> list[tuple[int, float]]:
    if not count:
        return []
    least = logprobs.topk(count).values[-1]
    ids = ((logprobs >= least) & (logprobs > -torch.inf)).nonzero()[:, 0]
    values, order = logprobs[ids].sort(descending=True, stable=True)
    return list(zip(ids[order[:count]].tolist(), values[:count].tolist(), strict=True))
