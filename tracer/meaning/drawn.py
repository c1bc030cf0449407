"""How far a matrix is from numbers drawn one by one, as first weights are.

Rows of independent numbers have sums of squares that differ only by chance, and so have columns; how much follows from
the fourth moment of the numbers themselves, whatever they were drawn from. Training makes some rows and columns much
longer than others. The values are standard deviations, as a standard normal would have them.
"""

from __future__ import annotations

from math import inf, isfinite
from statistics import median

import numpy as np

from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.signs import of_squares

DRAWN = 5.0
"""What first weights stay below, the largest of many."""
TRAINED = 10.0
"""What trained matrices are beyond."""
_ROWS = 128
_ORDINARY = 0.999
"""Share of the numbers that count as they are: one that is far too large would hide all the others."""
_LARGEST_MEAN = 0.5
"""Of the standard deviation: weights have no side as a whole, numbers that count up have."""


def grown(numbers: Numbers) -> float:
    """Of rows and columns, whichever differ more among themselves; infinite where there is nothing to differ."""
    if min(numbers.shape) < 2:
        return inf
    squares = numbers.astype(np.float64) ** 2
    squares = np.minimum(squares, np.quantile(squares, _ORDINARY))
    power = squares.mean()
    if power == 0:
        return inf
    excess = max(float((squares**2).mean() / power**2 - 1), 1e-3)
    found = []
    for axis in (0, 1):
        sums = squares.mean(axis) / power
        chance = excess / numbers.shape[axis]
        found.append(of_squares(float(sums.var(ddof=1)) / chance, 2 / (len(sums) - 1)))
    return max(found)


def of_layers(material: Material) -> dict[int, dict[str, float]]:
    """Layer -> template of each of its matrices -> how far it is, by some rows. Every layer is looked at."""
    if material.grown is None:
        material.grown = {}
        for layer, parts in material.inside().items():
            found = {part.template: grown(material.sampled(part, _ROWS)) for part in parts}
            finite = {template: value for template, value in found.items() if isfinite(value)}
            if finite:
                material.grown[layer] = finite
    return material.grown


def why_untrained(material: Material) -> str:
    """Why statistics of these weights tell nothing; empty where half of the layers are far from drawn."""
    layers = of_layers(material)
    if not layers:
        return "no layer with matrices is known here"
    middle = median(max(held.values()) for held in layers.values())
    if middle < TRAINED:
        return f"untrained: half of the layers are within {middle:.1f} standard deviations of numbers drawn one by one"
    first = material.inside()[min(layers)]
    if all(_is_lopsided(material, part) for part in first):
        return "the numbers of the first layer have one sign for the most part: no weights of a trained model"
    return ""


def _is_lopsided(material: Material, part: Part) -> bool:
    numbers = material.sampled(part, _ROWS)
    return bool(abs(numbers.mean()) > _LARGEST_MEAN * numbers.std())
