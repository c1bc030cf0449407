"""Widths and layers that make a signature give the shapes at hand: a bounded search, most telling shapes first.

Each need of the signature takes its tensors from those of one shape. What a need takes is gone for the others, so
that shapes which coincide (q and o, or k and v where heads are not shared) are still counted right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from tracer.infer.shapes.signature import Extent, Family, Key, Need, Widths, key, turned

MOST_COUNTS = 4
"""Numbers of layers considered for one shape."""
SHARING = 5
"""How many more tensors of a shape there may be in a layer than the need at hand takes."""


@dataclass(frozen=True)
class Fit:
    """One way to read the shapes as a family."""

    family: Family
    widths: Widths
    tags: tuple[str, ...]
    claimed: Mapping[Key, int]
    unmet: int
    """Needs without tensors."""
    score: float
    """From 0 to 1: which share of the shapes, weighted by how often they occur, is explained and present."""


@dataclass
class Search:
    """The best fit of one family."""

    family: Family
    counts: Mapping[Key, int]
    forms: Mapping[Key, Key]
    """The shape that most tensors of a key really have: that way round is tried first."""
    most_steps: int
    """Needs to be tried; a family that fits takes a few dozen."""
    patience: int = 0
    """How many needs may be without tensors."""
    best: Fit | None = None
    steps: int = 0
    _needs: Sequence[Need] = field(init=False)
    _once: Counter[tuple[Extent, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._needs = self.family.needs[""]
        self._once = Counter()
        for need in self._needs:
            if not need.repeat:
                self._once[min(turned(need.shape))] += need.times

    def run(self) -> Fit | None:
        there = {len(where) for where in self.counts}
        if sum(len(need.shape) not in there for need in self._needs) <= self.patience:
            self._step(0, {}, dict(self.counts), 0)
        return self.best

    def _step(self, at: int, widths: dict[str, int], left: dict[Key, int], unmet: int) -> None:
        self.steps += 1
        if self.steps > self.most_steps or (self.best and self.best.score == 1.0):
            return
        if at == len(self._needs):
            self._conclude(widths, left, unmet)
            return
        need, derived = self._needs[at], derived_layers(self.family, widths)
        if derived.get(need.repeat[0] if need.repeat else "") == 0:
            self._step(at + 1, derived, left, unmet)
            return
        for found, where, count in self._takes(need, derived, left):
            if possible(self.family, found):
                self._step(at + 1, found, left | {where: left[where] - count}, unmet)
        if unmet < self.patience:
            self._step(at + 1, derived, left, unmet + 1)

    def _takes(
        self, need: Need, widths: dict[str, int], left: Mapping[Key, int]
    ) -> list[tuple[dict[str, int], Key, int]]:
        """Every way to meet a need: the widths then known, the shape, and how many tensors; the exact ones first."""
        found = []
        for where, bound in matches(need.shape, widths, left, self.forms):
            spare = self._once[min(turned(need.shape))] if need.repeat else 0
            for more in self._layers(need, bound, left[where] - spare):
                count = need.tensors(more)
                if count and count <= left[where]:
                    found.append((left[where] - spare != count, more, where, count))
        found.sort(key=lambda take: take[0])
        return [(more, where, count) for _, more, where, count in found]

    def _layers(self, need: Need, widths: dict[str, int], there: int) -> Iterable[dict[str, int]]:
        """The widths with the number of layers that this need recurs over, where it is not known yet."""
        if not need.repeat or need.repeat[0] in widths:
            return [widths]
        within = need.times
        for width in need.repeat[1:]:
            within *= widths.get(width, 0)
        if within == 0:
            return []
        return [widths | {need.repeat[0]: n} for n in self._numbers(within, there)]

    def _numbers(self, within: int, there: int) -> list[int]:
        """How many layers there may be: first what divides most of the other counts."""
        found = {
            (there - once) // (within + more)
            for more in range(SHARING) for once in range(SHARING)
            if there > once and (there - once) % (within + more) == 0
        }  # fmt: skip
        fitting = sorted(found, key=lambda n: (-sum(count % n == 0 for count in self.counts.values()), -n))
        first = [there // within] if there % within == 0 and there else []
        return list(dict.fromkeys([*first, *fitting[:MOST_COUNTS]]))

    def _conclude(self, widths: dict[str, int], left: dict[Key, int], unmet: int) -> None:
        if not adds_up(self.family, widths):
            return
        tags = []
        for tag in self.family.tags:
            taken = take_all(self.family.needs[tag], widths, left, self.forms)
            if taken:
                widths, left = taken
                tags.append(tag)
        claimed = {where: self.counts[where] - rest for where, rest in left.items() if self.counts[where] > rest}
        fit = Fit(self.family, widths, tuple(tags), claimed, unmet, self._score(claimed, unmet))
        if self.best is None or fit.score > self.best.score:
            self.best = fit

    def _score(self, claimed: Mapping[Key, int], unmet: int) -> float:
        if not unmet and claimed == self.counts:
            return 1.0
        weights = {where: 1 + log(count) for where, count in self.counts.items()}
        explained = sum(weights[where] * taken / self.counts[where] for where, taken in claimed.items())
        typical = sum(weights.values()) / len(weights)
        return explained / (sum(weights.values()) + unmet * typical)


def matches(
    shape: tuple[Extent, ...], widths: dict[str, int], left: Mapping[Key, int], forms: Mapping[Key, Key]
) -> Iterator[tuple[Key, dict[str, int]]]:
    """The shapes that this one may be, with the widths then known."""
    known = [extent.size(widths) for extent in shape]
    if all(size is not None for size in known):
        where = key(tuple(size for size in known if size is not None))
        if left.get(where):
            yield where, widths
        return
    for where, count in left.items():
        if count and len(where) == len(shape):
            seen = []
            for way in turned(shape):
                bound = bind(way, forms[where], widths)
                if bound is not None and bound not in seen:
                    seen.append(bound)
                    yield where, bound


def bind(shape: tuple[Extent, ...], sizes: Key, widths: dict[str, int]) -> dict[str, int] | None:
    """The widths that make a shape these sizes; None where none do."""
    found = widths
    for extent, size in zip(shape, sizes, strict=True):
        known = extent.size(found)
        if known is None:
            solved = extent.solve(size, found)
            if solved is None:
                return None
            found = found | {solved[0]: solved[1]}
        elif known != size:
            return None
    return found


def take_all(
    needs: Iterable[Need], widths: dict[str, int], left: dict[Key, int], forms: Mapping[Key, Key]
) -> tuple[dict[str, int], dict[Key, int]] | None:
    """The first way to meet all needs of a tag; a width that only the tag knows must account for all there is."""
    for need in needs:
        count = need.tensors(widths)
        known = not any(extent.unknown(widths) for extent in need.shape)
        takes = [
            (where, bound) for where, bound in matches(need.shape, widths, left, forms)
            if count and (left[where] >= count if known else left[where] == count)
        ]  # fmt: skip
        if not takes or count is None:
            return None
        where, widths = takes[0]
        left = left | {where: left[where] - count}
    return widths, left


def possible(family: Family, widths: Widths) -> bool:
    """Whether what is known so far can be a model of the family; one that is a single number wide is none."""
    if widths.get("hidden") == 1:
        return False
    return all(
        widths[large] % widths[small] == 0 for large, small in family.multiples if large in widths and small in widths
    ) and all(widths[large] > widths[small] for large, small in family.greater if large in widths and small in widths)


def derived_layers(family: Family, widths: dict[str, int]) -> dict[str, int]:
    """The widths with the kinds of layers that follow from two others."""
    for total, one, other in family.sums:
        for known, open_ in ((one, other), (other, one)):
            if total in widths and known in widths and open_ not in widths and widths[total] >= widths[known]:
                widths = widths | {open_: widths[total] - widths[known]}
    return widths


def adds_up(family: Family, widths: Widths) -> bool:
    """Whether kinds of layers that together are all layers do add up to them."""
    return all(
        widths[one] + widths[other] == widths[total]
        for total, one, other in family.sums if {total, one, other} <= widths.keys()
    )  # fmt: skip
