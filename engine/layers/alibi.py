"""Attention with linear biases: a slope for every head instead of position embeddings (Press et al. 2021)."""

from __future__ import annotations

from math import log2


def slopes(heads: int) -> tuple[float, ...]:
    """Slopes of all heads: a geometric series, and every other term of the next finer one for the rest.

    >>> slopes(4)
    (0.25, 0.0625, 0.015625, 0.00390625)
    >>> slopes(3)
    (0.0625, 0.00390625, 0.25)
    """
    power = 1 << int(log2(heads))
    return (*_series(power), *_series(2 * power)[: 2 * (heads - power) : 2])


def _series(heads: int) -> tuple[float, ...]:
    """2^(-8/n), 2^(-16/n), ... for n heads, n a power of two."""
    return tuple(2.0 ** (-8.0 * head / heads) for head in range(1, heads + 1))
