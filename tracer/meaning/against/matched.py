"""Weights and their counterparts in the reference, and how alike they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mappings.names import collapse
from tracer.meaning.material import Material, Numbers, Part, spread
from tracer.meaning.meant import Meant, not_checked

SAME = 0.9
"""Cosine from which two weights are the same: fine-tunes are far above."""
OTHER = 0.75
"""Cosine below which they are not."""
ROWS = 256
STATISTIC = "cosine with the reference"


@dataclass(frozen=True, slots=True)
class Cosines:
    """Of one kind of weight, over layers."""

    stored: float
    """As stored: the mean."""
    least: float
    """The same of the layer that is least alike."""
    turned: Mapping[str, float]
    """By what was done to it: of the layer that is then least alike."""
    layers: int

    @property
    def best(self) -> str:
        return max(self.turned, key=lambda how: self.turned[how])

    @property
    def is_same(self) -> bool:
        return self.least >= SAME

    @property
    def is_turned(self) -> bool:
        return self.stored < OTHER and self.turned[self.best] >= SAME


def both(material: Material, reference: Material, role: str) -> dict[int, tuple[Part, Part]]:
    """Layer -> a weight and its counterpart of the same shape, of some layers."""
    mine, other = material.of(role), reference.of(role)
    same = [n for n in mine.keys() & other.keys() if mine[n].shape == other[n].shape]
    return {n: (mine[n], other[n]) for n in spread(same)}


def cosine(one: Numbers, other: Numbers) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / max(float(np.sqrt((a @ a) * (b @ b))), 1e-300))


def cosines(pairs: Sequence[tuple[Numbers, Numbers]], ways: Mapping[str, Callable[[Numbers], Numbers]]) -> Cosines:
    """`ways`: what may be done to the first of each pair."""
    stored = [cosine(a, b) for a, b in pairs]
    turned = {how: min(cosine(way(a), b) for a, b in pairs) for how, way in ways.items()}
    return Cosines(float(np.mean(stored)), min(stored), turned, len(pairs))


def said(measures: Mapping[str, Cosines]) -> str:
    """`cosines with the reference: q 0.999, k 0.998, over 16 layers`; the least where one layer is unlike the rest."""
    told = (
        f"{of} {each.stored:.3f}{'' if each.is_same or each.least > OTHER else f' (least {each.least:.3f})'}"
        for of, each in measures.items()
    )
    return f"cosines with the reference: {', '.join(told)}, over {max(e.layers for e in measures.values())} layers"


def unlike(name: str, told: str) -> Meant:
    return not_checked(name, f"another model, or one trained much further: {told}")


def spelled(names: Sequence[str]) -> str:
    return ", ".join(text for text, _ in collapse(names))
