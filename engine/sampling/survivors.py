"""Which ids may be drawn: temperature, then top-k, then top-p, then min-p, as Hugging Face Transformers does it.

The order matters. vLLM applies min-p before top-k and top-p, so that there top-p is a share of what min-p left; here
it is a share of what top-k left. What survives equals, id for id, what the logits processors of Transformers leave;
where top-p divides equally likely ids, theirs may be any, and here they are the lowest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.sampling.params import Sampling

CANDIDATES = 1024
"""So many of the likeliest ids are looked at before a whole vocabulary is sorted, which takes twenty times as long."""
DOUBT = 1e-4
"""A sum of probabilities this near to top-p is left to the sort: rounding decides it. A sum of 128,000 float32 numbers
differs by less from one order to another."""


def surviving_scores(logits: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Logits (rows, vocab) of any float type -> float32 scores, -inf where an id may not be drawn.

    Every temperature is above 0, and no row is divided beyond float32. At least one id a row survives.
    """
    scores = logits.float() / _column(scores_like=logits, values=[s.temperature for s in samplings])
    for wanted, keep in _FILTERS:
        rows = [row for row, sampling in enumerate(samplings) if wanted(sampling)]
        if rows:
            chosen = scores[rows]
            scores[rows] = chosen.masked_fill_(~keep(chosen, [samplings[row] for row in rows]), -torch.inf)
    return scores


def _column(scores_like: Tensor, values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """(rows, 1): a number for each row."""
    return torch.tensor(values, dtype=dtype, device=scores_like.device)[:, None]


def _top_k(scores: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """The k likeliest, and whatever is as likely as the last of them."""
    ranks = [min(sampling.top_k, scores.shape[1]) - 1 for sampling in samplings]
    best = scores.topk(max(ranks) + 1).values
    return scores >= best.gather(1, _column(scores, ranks, torch.int64))


def _top_p(scores: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """The smallest set of the likeliest whose probability reaches p; of equally likely ids, the lowest first."""
    if scores.shape[1] <= CANDIDATES:
        return _sorted_top_p(scores, samplings)
    kept, sure = _quick_top_p(scores, _column(scores, [sampling.top_p for sampling in samplings], torch.float64))
    unsure = [row for row, known in enumerate(sure.tolist()) if not known]
    if unsure:
        kept[unsure] = _sorted_top_p(scores[unsure], [samplings[row] for row in unsure])
    return kept


def _sorted_top_p(scores: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """By the definition: from the least likely on, ids go as long as they make no more than 1 - p together."""
    values, order = (found.flip(-1) for found in scores.sort(dim=-1, descending=True, stable=True))
    gone = values.softmax(-1).cumsum(-1) <= _column(scores, [1 - sampling.top_p for sampling in samplings])
    gone[:, -1] = False
    return torch.empty_like(gone).scatter_(1, order, ~gone)


def _quick_top_p(scores: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The same from the other end, over the likeliest: what is kept, and in which rows that is beyond doubt.

    p (rows, 1) -> (rows, vocab), (rows,). In doubt are rows whose candidates do not reach p, whose sums pass near it,
    or where the last id that is kept is as likely as the first that is not.
    """
    odds = scores.softmax(-1)
    best = odds.topk(CANDIDATES).values
    sums = best.cumsum(-1, dtype=torch.float64)
    last = (sums < p).sum(-1, keepdim=True)  # the place of the one by which the sum reaches p
    inside = (last[:, 0] < CANDIDATES - 1) & ((sums - p).abs().amin(-1) > DOUBT)
    last = last.clamp_(max=CANDIDATES - 2)
    least, next_best = best.gather(1, last), best.gather(1, last + 1)
    return odds >= least, inside & (least > next_best)[:, 0]


def _min_p(scores: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """What is at least min_p times as likely as the likeliest."""
    odds = scores.softmax(-1)
    return odds >= _column(scores, [sampling.min_p for sampling in samplings]) * odds.amax(-1, keepdim=True)


_FILTERS: tuple[
    tuple[Callable[[Sampling], bool], Callable[[Tensor, Sequence[Sampling]], Tensor]], ...
] = (
    (lambda sampling: sampling.top_k > 0, _top_k),
    (lambda sampling: sampling.top_p < 1, _top_p),
    (lambda sampling: sampling.min_p > 0, _min_p),
)  # fmt: skip
"""Who asks for a filter, and what it keeps of scores (rows, vocab) as bool; in the order in which they are applied."""
