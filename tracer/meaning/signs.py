"""Statistics whose distribution is known where nothing is wrong, because training cannot tell two signs apart.

A network has symmetries: the rows of up and the columns of down may change sign together, a rotary pair may be turned
by a quarter, a dimension of the residual stream may change sign everywhere. First weights are drawn with the same
symmetries, and Adam, SGD and Muon keep them, so that what depends on such a sign is zero on average over models, and
its spread is that of throwing coins: no trained model is needed to know it. Each function returns how many standard
deviations the value is away, as a standard normal would have it.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


class Agreement(NamedTuple):
    deviate: float
    share: float
    """How much of the differences all units have in common: 0 by chance, 1 where they are the same in all."""


def agreement(differences: Numbers) -> Agreement:
    """Whether differences, [units, places], have the same sign in all units more often than coins would."""
    units, squares = len(differences), differences**2
    total = float(squares.sum())
    if units < 2 or total == 0:
        return Agreement(0.0, 0.0)
    energy = float((differences.sum(0) ** 2).sum()) / total
    crossed = float((squares.sum(0) ** 2).sum() - (squares**2).sum())
    return Agreement(of_squares(energy, 2 * crossed / total**2), (energy - 1) / (units - 1))


def lean(rows: Numbers) -> float:
    """Whether rows, [rows, columns], point to one side together: their sum is longer than random signs make it."""
    total = float((rows**2).sum())
    if total == 0:
        return 0.0
    products = (rows @ rows.T).astype(np.float64)
    np.fill_diagonal(products, 0)
    return of_squares(float((rows.sum(0) ** 2).sum()) / total, 2 * float((products**2).sum()) / total**2)


def alignment(one: Numbers, other: Numbers) -> float:
    """Whether two Gram matrices over the same dimensions have the same off-diagonal signs."""
    products = one.astype(np.float64) * other
    np.fill_diagonal(products, 0)
    spread = sqrt(2 * float((products**2).sum()))
    return float(products.sum()) / spread if spread else 0.0


def pooled(deviates: list[float]) -> float:
    """Of independent deviates one (Stouffer)."""
    return sum(deviates) / sqrt(len(deviates)) if deviates else 0.0


def of_squares(value: float, variance: float) -> float:
    """A sum of squares with mean 1 as a normal deviate: chi-square with as many degrees as the variance says.

    Satterthwaite's degrees of freedom, the cube root of Wilson and Hilferty (PNAS 17, 1931).
    """
    if variance <= 0:
        return 0.0
    spread = variance / 9  # 2 / (9 degrees), degrees = 2 / variance
    return float((max(value, 0.0) ** (1 / 3) - (1 - spread)) / sqrt(spread))
