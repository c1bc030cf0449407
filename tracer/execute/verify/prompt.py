"""The prompt of every verification: the same ids each time, for whoever wants to compute them elsewhere."""

from __future__ import annotations

from random import Random

SEED = 4
TOKENS = 32
"""Enough to look back at, few enough for the pass to take a moment."""


def prompt(vocabulary: int, longest: int) -> list[int]:
    """`TOKENS` ids spread over the vocabulary, fewer for a model that takes no more.

    Id i is `int(random.Random(SEED).random() * vocabulary)` of the i-th draw, which Python promises to keep (the
    sequence of `random()` for a seed). They mean nothing: every row of the embeddings, on whichever rank, is as likely.
    """
    draw = Random(SEED)
    return [int(draw.random() * vocabulary) for _ in range(min(TOKENS, longest))]
