"""value.norm-offset: norms that are off by the one which some families add themselves.

What a norm multiplies with starts at 1 and stays above 0 but for a few numbers. A family that computes 1 + weight
stores numbers around 0, so that many are negative; one that computes with what is stored has hardly any. The statistic
is the share of negative numbers: over all norms where 1 is added, in each kind of norm where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.conventions import adds_one, model_type
from tracer.meaning.material import Material, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.repair.changes import Transform

NAME = "norm-offset"
KINDS = ("norm", "q_norm", "k_norm")
"""Roles of norms."""
MANY = 0.25
"""Share of negative numbers that no norm has whose numbers are used as they are."""
FEW = 0.02
"""More than that is left of them in all norms to which 1 is added."""
NONE = 0.0005
_LEAST = 256
_LOWEST = -1.05
"""What is 1 too low is not below -1."""


def examine(material: Material) -> Meant:
    adds = adds_one(material.checkpoint, material.config)
    if adds is None:
        kind = model_type(material.config) or "this model"
        return not_checked(NAME, f"whether {kind} adds 1 to its norms is not known")
    kinds = [_Kind(parts, material) for parts in material.vectors(*KINDS).values()]
    total = sum(len(kind.numbers) for kind in kinds)
    if total < _LEAST:
        return not_checked(NAME, f"{total} numbers of norms are too few")
    return _adding(kinds) if adds else _plain(kinds)


class _Kind:
    """The norms of one place in all layers, and their numbers."""

    def __init__(self, parts: list[Part], material: Material) -> None:
        self.parts = parts
        self.numbers = np.concatenate([material.read(part).ravel() for part in parts])

    @property
    def share(self) -> float:
        return float((self.numbers < 0).mean())


def _told(kinds: Sequence[_Kind]) -> tuple[float, str]:
    share = float(np.mean(np.concatenate([kind.numbers for kind in kinds]) < 0))
    count, total = sum(len(kind.parts) for kind in kinds), sum(len(kind.numbers) for kind in kinds)
    return share, f"{share:.1%} of {total:,} numbers in {count} norms are negative"


def _adding(kinds: Sequence[_Kind]) -> Meant:
    """The model adds 1. One kind of norm may be above 0 everywhere, all of them are not."""
    share, told = _told(kinds)
    numbers = np.concatenate([kind.numbers for kind in kinds])
    if share >= FEW:
        return fine(NAME, f"{told}, as in norms to which 1 is added", _like_ones(kinds))
    middle = float(np.median(numbers))
    if share <= NONE and 0.5 < middle < 2.0 and float(np.quantile(numbers, 0.05)) < 1.0:
        return _found(kinds, -1.0, share, NONE, f"{told}, the middle one is {middle:.2f}: 1 was added already")
    return not_checked(NAME, f"{told}: too few for norms to which 1 is added, and no sign that it was added already")


def _like_ones(kinds: Sequence[_Kind]) -> str:
    """Which kinds, of several, look as if 1 had been added to them alone."""
    odd = [kind.parts[0].template for kind in kinds if kind.numbers.min() > 0.5 and np.median(kind.numbers) < 1.5]
    return f"{', '.join(odd)}: all numbers are about 1, and may have it added already" if odd else ""


def _plain(kinds: Sequence[_Kind]) -> Meant:
    """The model multiplies with what is stored: each kind of norm has few negative numbers."""
    told = _told(kinds)[1]
    low = [kind for kind in kinds if kind.share >= MANY and float(kind.numbers.min()) >= _LOWEST]
    if low:
        if 2 * sum(len(kind.numbers) for kind in low) >= sum(len(kind.numbers) for kind in kinds):
            low = list(kinds)  # a writer that takes 1 from most takes it from all; not all can show it
        own, of_low = _told(low)
        return _found(low, 1.0, own, MANY, f"{of_low}: 1 was taken away, and the model does not add it")
    if all(kind.share <= FEW for kind in kinds):
        return fine(NAME, f"{told}, as in norms that are used as they are")
    return not_checked(NAME, f"{told}: too many for norms that are used as they are, too few for norms 1 too low")


def _found(kinds: Sequence[_Kind], amount: float, share: float, threshold: float, told: str) -> Meant:
    names = tuple(part.name for kind in kinds for part in kind.parts)
    message = f"{', '.join(text for text, _ in collapse(names))}: off by {-amount:+.0f}: {told}"
    evidence = measured("share of negative numbers", share, threshold, len(names), "norms", amount=amount)
    finding = Finding(
        "value.norm-offset", "error", names[0], message, evidence, f"add {amount:g} to each of the {len(names)} norms"
    )
    return found(NAME, told, finding, Transform(names, "add", amount=amount))
