"""What shapes alone say, names removed: the family, the published geometry, which tensor is probably what.

Not a look-up: each family is a signature (`signature.py`), roles with shapes in widths that are not known, and the
search (`solve.py`) finds the widths and the numbers of layers that make it give these shapes. Of the families that
explain all, or most, the one with the fewest unusual features is first; where two have the same shapes, practice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf

from tracer.infer.shapes import published, reading, stored
from tracer.infer.shapes.guess import Assignment, Candidate, Guess, Match, Shape
from tracer.infer.shapes.signature import key
from tracer.infer.shapes.solve import Fit, Search
from tracer.infer.shapes.table import FAMILIES

__all__ = ["Assignment", "Candidate", "Guess", "Match", "nearest"]

_NEAR = 0.5
"""Below this score a family is no candidate."""
_SHOWN = 6
_MOST_KINDS = 500
"""Shapes of more kinds than any family has; those of real models are dozens."""
_USUAL_KINDS = 100
"""Of more, each step of the search takes longer, and there are fewer steps."""
_PASSES = ((150, 0, 1.0), (1_000, 0, 0.85), (400, 2, 0.0))
"""Steps and patience of the search, and the score that ends it: else kinds of tensors may be missing, then more."""


def nearest(shapes: Iterable[tuple[Shape, str]]) -> Guess:
    """The families that a multiset of (shape, dtype in safetensors spelling) may be, in any order."""
    weights = stored.weights(shapes)
    keys: Counter[Shape] = Counter()
    forms: dict[Shape, Shape] = {}
    for shape, count in weights.counts.most_common():
        keys[key(shape)] += count
        forms.setdefault(key(shape), shape)
    if len(keys) > _MOST_KINDS:
        what = f"shapes of {len(keys):,} kinds, more than are compared with families"
        return Guess((), sum(weights.counts.values()), (*weights.notes, what))
    fits: list[Fit] = []
    for steps, patience, enough in _PASSES if keys else ():
        most = steps * _USUAL_KINDS // max(_USUAL_KINDS, len(keys))
        searches = [Search(family, keys, forms, most, patience) for family in FAMILIES]
        fits += [fit for search in searches if (fit := search.run())]
        if any(fit.score >= enough for fit in fits):
            break
    ranked = sorted(fits, key=lambda fit: _likelihood(fit, weights.counts), reverse=True)
    chosen: dict[str, Fit] = {}
    for fit in ranked:
        if fit.score >= _NEAR:
            chosen.setdefault(fit.family.name, fit)
    found = [_candidate(fit, weights.counts) for fit in list(chosen.values())[:_SHOWN]]
    return Guess(tuple(found), sum(weights.counts.values()), tuple(weights.notes))


def _likelihood(fit: Fit, counts: Mapping[Shape, int]) -> tuple[float, ...]:
    """By shapes explained, then by oddities, by whether it is published, by matrices this way round, by practice."""
    odd = sum(tag in fit.family.unusual for tag in fit.tags)
    straight, _ = reading.orientation(fit, counts)
    order = next((at for at, family in enumerate(FAMILIES) if family is fit.family), inf)
    known = fit.score == 1.0 and any(match.exact for match in published.matches(fit))
    return (round(fit.score, 3), -odd, known, round(straight, 2), -order)


def _candidate(fit: Fit, counts: Mapping[Shape, int]) -> Candidate:
    known = published.matches(fit) if fit.score == 1.0 else ()
    turned = reading.orientation(fit, counts)
    return Candidate(
        fit.family.name, published.likeliest(fit, known), fit.score, dict(fit.widths), reading.evidence(fit, counts),
        reading.assignments(fit, counts), known, "(in, out)" if turned[1] > turned[0] else "(out, in)",
    )  # fmt: skip
