"""value.norm-offset: norms that are off by the one which some families add themselves.

What a norm multiplies with starts at 1 and stays above 0 but for a few numbers. A family that computes 1 + weight
stores numbers around 0, so that many are negative; one that computes with what is stored has hardly any. The statistic
is the share of negative numbers over all norms.
"""

from __future__ import annotations

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
        return not_checked(
            NAME, f"whether {model_type(material.config) or 'this model'} adds 1 to its norms is not known"
        )
    parts = [part for held in material.vectors(*KINDS).values() for part in held]
    total = sum(part.shape[0] for part in parts)
    if total < _LEAST:
        return not_checked(NAME, f"{total} numbers of norms are too few")
    numbers = np.concatenate([material.read(part).ravel() for part in parts])
    share = float((numbers < 0).mean())
    told = f"{share:.1%} of {total:,} numbers in {len(parts)} norms are negative"
    return _adding(parts, numbers, share, told) if adds else _plain(parts, numbers, share, told)


def _adding(parts: list[Part], numbers: np.ndarray, share: float, told: str) -> Meant:
    """The model adds 1."""
    middle = float(np.median(numbers))
    if share >= FEW:
        return fine(NAME, f"{told}, as in norms to which 1 is added")
    if share <= NONE and 0.5 < middle < 2.0 and float(np.quantile(numbers, 0.05)) < 1.0:
        return _found(
            parts, -1.0, share, NONE, f"{told}, the middle one is {middle:.2f}: 1 was added, and the model adds 1 again"
        )
    return not_checked(NAME, f"{told}: too few for norms to which 1 is added, and no sign that it was added already")


def _plain(parts: list[Part], numbers: np.ndarray, share: float, told: str) -> Meant:
    """The model multiplies with what is stored."""
    if share <= FEW:
        return fine(NAME, f"{told}, as in norms that are used as they are")
    if share >= MANY and float(numbers.min()) >= _LOWEST:
        return _found(parts, 1.0, share, MANY, f"{told}: 1 was taken away, and the model does not add it")
    return not_checked(NAME, f"{told}: too many for norms that are used as they are, too few for norms 1 too low")


def _found(parts: list[Part], amount: float, share: float, threshold: float, told: str) -> Meant:
    names = tuple(part.name for part in parts)
    message = f"{', '.join(text for text, _ in collapse(names))}: off by {-amount:+.0f}: {told}"
    evidence = measured("share of negative numbers", share, threshold, len(parts), "norms", amount=amount)
    finding = Finding(
        "value.norm-offset", "error", names[0], message, evidence, f"add {amount:g} to each of the {len(names)} norms"
    )
    return found(NAME, told, finding, Transform(names, "add", amount=amount))
