"""In which order the rows of heads lie, read off how long they are.

Profiles are the lengths of rows, [units, rows of a head], a unit being a head of a layer; all of them are put as if
the two rows of a pair were half a head apart, whatever the model expects. Three things are looked at: whether units
agree in which row of a pair is longer (they must not), whether they would if the same rows lay in the other order (or
else nothing can be seen), and how rough the lengths are from one frequency to the next (the right order is smooth).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.signs import Agreement, agreement, pooled
from tracer.repair.changes import REORDERED, Op

WRONG = 4.0
"""Standard deviations from which units agree more than by chance."""
CHANCE = 3.5
SHARE = 0.15
"""Of the differences that all units have in common, at least: a small one may be real without being an order."""
ALIKE = 0.6
"""Correlation of the lengths of q's and k's pairs where both are in order, at least."""
CLEARLY, _RIVAL = 0.3, 0.03
"""By how much another order must be more alike to be the right one, and less alike to be none."""
TO_HALVES: Op = "interleaved-to-half"
TO_PAIRS: Op = "half-to-interleaved"


@dataclass(frozen=True, slots=True)
class Step:
    """One reordering of rows: of heads of as many as there are, or of another number by mistake."""

    op: Op
    heads: int

    def __str__(self) -> str:
        return f"{REORDERED[self.op]} in {self.heads} heads"

    def undoes(self, other: Step) -> bool:
        return self.heads == other.heads and self.op != other.op


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows in some order."""

    steps: tuple[Step, ...]
    """What was done to them."""
    read: Agreement
    """Of units, in which row of a pair is longer."""
    shown: Agreement
    """The same after the rows were put into the other order on purpose."""
    pairs: Numbers
    """How long each pair is, [units, pairs]."""
    differences: Numbers
    """By how much the first of each pair is longer, [units, pairs]; and if the rows were put wrong."""
    shown_differences: Numbers

    @property
    def rough(self) -> float:
        """Squares of the differences of neighbouring frequencies."""
        return float((np.diff(self.pairs.mean(0)) ** 2).sum())

    @property
    def fits(self) -> bool:
        return self.read.deviate < CHANCE and self.shown.deviate >= WRONG and self.shown.share >= SHARE

    @property
    def is_contradicted(self) -> bool:
        return self.read.deviate >= WRONG and self.read.share >= SHARE

    @property
    def is_flat(self) -> bool:
        return self.read.deviate < CHANCE and self.shown.deviate < CHANCE


@dataclass(frozen=True, slots=True)
class Judged:
    """One of q and k: as it is, and in the order in which it fits where it does not as it is."""

    stored: Reading
    mended: Reading | None
    is_rivalled: bool = False
    """Whether it fits as it is, and another order may fit as well."""


def profiles(material: Material, parts: Sequence[Part], heads: int, groups: int) -> Numbers:
    """How long rows are, as logarithms of squares: [layers x groups, dim], the heads of a group averaged."""
    found = []
    for part in parts:
        dim = part.shape[0] // heads
        sums = [np.einsum("ij,ij->i", piece, piece) for piece in material.pieces(part, dim)]
        squares = np.concatenate(sums).astype(np.float64)
        logs = np.log(np.maximum(squares, squares.max() * 1e-12 + 1e-300))
        found.append(logs.reshape(groups, heads // groups, dim).mean(1))
    return np.concatenate(found)


def judge(units: Mapping[str, Numbers], counts: Mapping[str, int]) -> dict[str, Judged]:
    """q by itself; k, whose rows may have been ordered as if it had as many heads as q, in the light of q.

    Of several orders in which k fits, that one is meant in which it is long at the frequencies where q is: the length
    of one can be traded for that of the other, and training evens them out.
    """
    stored = {of: _read(held, (), counts[of]) for of, held in units.items()}
    q = min(_fitting(units["q"], "q", counts), key=lambda each: each.rough, default=None)
    if stored["q"].fits:
        q = None
    return {"q": Judged(stored["q"], q), "k": _judge_k(units["k"], counts, stored["k"], q or stored["q"])}


def _judge_k(profiles: Numbers, counts: Mapping[str, int], stored: Reading, q: Reading) -> Judged:
    best = max(_fitting(profiles, "k", counts), key=lambda each: likeness(each.pairs, q.pairs), default=None)
    if best is None or not q.fits:
        return Judged(stored, None if stored.fits else best)
    before, after = likeness(stored.pairs, q.pairs), likeness(best.pairs, q.pairs)
    if stored.fits and after < before + CLEARLY:
        return Judged(stored, None, is_rivalled=after > before - _RIVAL)
    return Judged(stored, best)


def _fitting(profiles: Numbers, of: str, counts: Mapping[str, int]) -> list[Reading]:
    """The orders other than the stored one in which the rows fit."""
    both = counts["q"], counts["k"]
    tried = (_read(profiles, steps, counts[of]) for steps in repairs(profiles.shape[1], counts[of], both))
    return [each for each in tried if each.fits]


def wrong(judged: Mapping[str, Judged]) -> dict[str, Reading]:
    """What has to be reordered: what contradicts its order; and what shows nothing as it is, but fits after the same
    steps as the other, or fits the other, which is in order, far better."""
    mended = {of: each.mended for of, each in judged.items() if each.mended is not None}
    found = {of: reading for of, reading in mended.items() if judged[of].stored.is_contradicted}
    if len(mended) == 2:
        alike = len({tuple(step.op for step in each.steps) for each in mended.values()}) == 1
        return mended if alike and (found or all(each.stored.is_flat for each in judged.values())) else found
    if "k" in mended and judged["q"].stored.fits and judged["k"].stored.read.deviate < CHANCE:
        q = judged["q"].stored.pairs
        before, after = likeness(judged["k"].stored.pairs, q), likeness(mended["k"].pairs, q)
        return mended if after >= ALIKE and after - before >= CLEARLY else found
    return found


def in_order(judged: Mapping[str, Judged]) -> bool:
    """Whether both are as they should be, beyond doubt."""
    stored = {of: each.stored for of, each in judged.items()}
    seen = pooled([each.shown.deviate for each in stored.values()])
    quiet = all(each.read.deviate < CHANCE <= each.shown.deviate for each in stored.values())
    alike = likeness(stored["k"].pairs, stored["q"].pairs) >= ALIKE
    return quiet and seen >= WRONG and alike and not any(each.is_rivalled for each in judged.values())


def by_layer(stored: Mapping[str, Reading], right: Mapping[str, Reading], layers: int) -> list[float]:
    """For each layer as it is stored, how much its pairs differ as pairs do that are put wrong: q and k together.

    Standard deviations: by chance in a layer that is in order. What pairs look like that are put wrong, the readings
    say in which most layers are right.
    """
    found = np.zeros_like(stored["q"].differences)
    for of, reading in stored.items():
        found += reading.differences * right[of].shown_differences.mean(0)
    split = found.reshape(layers, -1)
    return [float(each.sum() / max(float(np.sqrt((each**2).sum())), 1e-300)) for each in split]


def likeness(one: Numbers, other: Numbers) -> float:
    """Correlation of how long pairs are within their heads, [units, pairs] each."""
    a, b = (each - each.mean(1, keepdims=True) for each in (one, other))
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-300))


def _read(profiles: Numbers, steps: tuple[Step, ...], own: int) -> Reading:
    turned = profiles
    for step in steps:
        turned = reordered(turned, step.op, step.heads // own)
    differences, put_wrong = _differences(turned), _differences(reordered(turned, TO_PAIRS))
    half = turned.shape[1] // 2
    pairs = turned[:, :half] + turned[:, half:]
    return Reading(steps, agreement(differences), agreement(put_wrong), pairs, differences, put_wrong)


def repairs(dim: int, own: int, counts: tuple[int, int]) -> list[tuple[Step, ...]]:
    """Reorderings that mend one that was left out, done twice, or done with the other's number of heads."""
    others = [n for n in dict.fromkeys(counts) if n > own and n % own == 0 and dim % (2 * n // own) == 0]
    once = [(Step(op, count),) for count in (own, *others) for op in (TO_HALVES, TO_PAIRS)]
    twice = [(Step(a, n), Step(b, own)) for n in others for a, b in ((TO_PAIRS, TO_HALVES), (TO_HALVES, TO_PAIRS))]
    return [*once, *twice]


def reordered(profiles: Numbers, op: Op, pieces: int = 1) -> Numbers:
    """The rows of each of so many pieces of a head in the other order."""
    units, dim = profiles.shape
    half = dim // pieces // 2
    split = (2, half) if op == TO_PAIRS else (half, 2)
    return profiles.reshape(units * pieces, *split).swapaxes(1, 2).reshape(units, dim)


def _differences(profiles: Numbers) -> Numbers:
    half = profiles.shape[1] // 2
    return np.asarray(profiles[:, :half] - profiles[:, half:])


def steps_of(steps: Mapping[str, Sequence[Step]]) -> str:
    """`q from pairs to halves in 32 heads and k from pairs to halves in 8 heads`."""
    return " and ".join(f"{of} {', then '.join(map(str, own))}" for of, own in steps.items())


def in_pairs(steps: Sequence[Step], own: int) -> tuple[Step, ...]:
    """The same steps for rows that lie in neighbouring pairs, and are to lie so afterwards."""
    found: list[Step] = []
    for step in (Step(TO_HALVES, own), *steps, Step(TO_PAIRS, own)):
        if found and step.undoes(found[-1]):
            found.pop()
        else:
            found.append(step)
    return tuple(found)
