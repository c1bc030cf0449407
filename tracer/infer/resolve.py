"""Loads to atoms: what is linear in one unknown is solved, and the rest is checked against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil, floor, inf
from typing import NamedTuple

from tracer.infer.loads import Load
from tracer.infer.polynomials import Polynomial, put_in, unknowns

_MOST = 64
"""Values of one unknown that are tried where a load leaves several."""


class Fit(NamedTuple):
    """Atoms with which loads agree."""

    atoms: dict[str, int]
    agreeing: int
    misfits: tuple[str, ...]
    """Loads that do not."""
    open: int
    """Loads with unknowns left."""
    exact: int
    """Of those that agree, how many are known from both sides."""
    spare: int
    """How many more loads were met than unknowns solved: 0 where only divisibility speaks for it."""


def resolve(loads: Sequence[Load], atoms: Mapping[str, int], bounds: Mapping[str, tuple[int, int]]) -> Fit | None:
    """Solve what loads leave open; None where most of them disagree. `bounds` are what an unknown may be."""
    known = dict(atoms)
    left = [(load, put_in(load.polynomial, known)) for load in loads]
    solved = 0
    while True:
        found = _one_unknown(left, bounds) or _two_unknowns(left, bounds)
        if found is None:
            break
        known |= found
        solved += len(found)
        left = [(load, put_in(polynomial, found)) for load, polynomial in left]
    return _judged(left, known, solved)


def _judged(left: Sequence[tuple[Load, Polynomial]], known: dict[str, int], solved: int) -> Fit | None:
    misfits, agreeing, exact, open_ = [], 0, 0, 0
    for load, polynomial in left:
        constant = polynomial.get((), 0)
        if unknowns(polynomial):
            open_ += 1
            if constant > load.high:
                misfits.append(load.of)
        elif load.holds(constant):
            agreeing += 1
            exact += load.low > -inf
        else:
            misfits.append(load.of)
    if len(misfits) > agreeing // 4:
        return None
    return Fit(known, agreeing, tuple(misfits), open_, exact, exact - solved)


def _one_unknown(
    left: Sequence[tuple[Load, Polynomial]], bounds: Mapping[str, tuple[int, int]]
) -> dict[str, int] | None:  # fmt: skip
    """The unknown that some load leaves alone: the value that most such loads allow."""
    votes: dict[str, Counter[int]] = {}
    for load, polynomial in left:
        open_ = unknowns(polynomial)
        if len(open_) != 1 or load.low == -inf:
            continue
        (atom,) = open_
        if set(polynomial) - {(), (atom,)}:
            continue
        for value in _allowed(load, polynomial, atom, bounds):
            votes.setdefault(atom, Counter())[value] += 1
    if not votes:
        return None
    atom = max(votes, key=lambda name: votes[name].most_common(1)[0][1])
    return {atom: votes[atom].most_common(1)[0][0]}


def _allowed(load: Load, polynomial: Polynomial, atom: str, bounds: Mapping[str, tuple[int, int]]) -> range:
    each, constant = polynomial[atom,], polynomial.get((), 0)
    low, high = bounds.get(atom, (1, 1 << 40))
    first = max(low, ceil((load.low - constant) / each))
    last = min(high, floor((load.high - constant) / each))
    return range(first, last + 1) if last - first < _MOST else range(0)


def _two_unknowns(
    left: Sequence[tuple[Load, Polynomial]], bounds: Mapping[str, tuple[int, int]]
) -> dict[str, int] | None:  # fmt: skip
    """Two loads with the same two unknowns in different proportions."""
    by_pair: dict[frozenset[str], list[tuple[Load, Polynomial]]] = {}
    for load, polynomial in left:
        open_ = frozenset(unknowns(polynomial))
        if len(open_) == 2 and load.low > -inf and all(len(monomial) < 2 for monomial in polynomial):
            by_pair.setdefault(open_, []).append((load, polynomial))
    for pair, entries in by_pair.items():
        first, second = sorted(pair)
        found = _crossed(entries, first, second, bounds)
        if found is not None:
            return found
    return None


def _crossed(
    entries: Sequence[tuple[Load, Polynomial]], x: str, y: str, bounds: Mapping[str, tuple[int, int]]
) -> dict[str, int] | None:  # fmt: skip
    entries = sorted(entries, key=lambda entry: entry[1][x,] / entry[1][y,])
    (load, p), (other, q) = entries[0], entries[-1]
    det = p[x,] * q[y,] - q[x,] * p[y,]
    if det == 0:
        return None
    a, b = ((each.low + each.high) / 2 - poly.get((), 0) for each, poly in ((load, p), (other, q)))
    middle = (a * q[y,] - b * p[y,]) / det
    error = sum(abs((each.high - each.low) / 2 * k / det) for each, k in ((load, q[y,]), (other, p[y,])))
    low, high = bounds.get(x, (1, 1 << 40))
    first = max(low, ceil(middle - error))
    for value in range(first, min(high, floor(middle + error), first + _MOST) + 1):
        rest = _allowed(load, put_in(p, {x: value}), y, bounds)
        if any(other.holds(put_in(q, {x: value, y: each}).get((), 0)) for each in rest):
            return {x: value, y: rest[0]}
    return None
