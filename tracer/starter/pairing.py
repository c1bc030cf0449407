"""Which tensors without a row go where a row has no tensors: by one edit of all names, then by likeness and shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tracer.infer.names import Shape
from tracer.renames import rewrites
from tracer.starter.base import Opening
from tracer.starter.kinds import Kind
from tracer.starter.likeness import leaf_of, likeness

_ENOUGH = 1.4
"""Likeness below this is chance: names of different modules reach 1.1."""
_MARGIN = 0.2
"""A rival that is this close makes it a guess."""
_ONLY = 1.5
"""What it adds that nothing else on either side has the shape and the positions; where only these layers lack a tensor
that the others have, it is enough whatever the names say."""


class Pair(NamedTuple):
    """Tensors and where they go."""

    kind: Kind
    opening: Opening
    turned: bool
    """Whether the matrix lies the other way round on disk."""


class Paired(NamedTuple):
    """What was found, and what was left undecided."""

    pairs: list[Pair]
    unsure: list[tuple[Kind, list[Opening]]]
    """Tensors that go to several places equally well."""


def paired(kinds: Sequence[Kind], openings: Sequence[Opening]) -> Paired:
    """Pair tensors with openings that have their shape and their positions; none is used twice."""
    found = _by_edits(kinds, openings)
    taken = {id(pair.kind) for pair in found} | {id(pair.opening) for pair in found}
    rest = [kind for kind in kinds if id(kind) not in taken]
    left = [opening for opening in openings if id(opening) not in taken]
    more = _by_likeness(rest, left)
    return Paired([*found, *more.pairs], more.unsure)


def _by_edits(kinds: Sequence[Kind], openings: Sequence[Opening]) -> list[Pair]:
    """Those that one edit of names explains."""
    own = {kind.sample: kind for kind in kinds}
    theirs = {opening.sample: opening for opening in openings}
    shapes = {name: kind.shape for name, kind in own.items() if kind.shape is not None}
    wanted = {name: opening.row.shape for name, opening in theirs.items()}
    found = []
    for rewrite in rewrites(list(own), list(theirs), shapes, wanted):
        if rewrite.mapped < 2:
            continue
        for name, other in rewrite.pairs.items():
            kind, opening = own[name], theirs[other]
            if opening.stands_at(kind.positions) and _not_apart(kind, opening):
                found.append(Pair(kind, opening, False))
    return found


def _not_apart(kind: Kind, opening: Opening) -> bool:
    return not (kind.role and opening.role and kind.role != opening.role)


def _by_likeness(kinds: Sequence[Kind], openings: Sequence[Opening]) -> Paired:
    scored = _scores(kinds, openings)
    pairs: list[Pair] = []
    unsure: dict[int, tuple[Kind, list[Opening]]] = {}
    while scored:
        score, kind, opening, turned = max(scored, key=lambda each: each[0])
        rivals = [s for s in scored if (s[1] is kind) != (s[2] is opening) and score - s[0] < _MARGIN]
        scored = [s for s in scored if s[1] is not kind and (rivals or s[2] is not opening)]
        if rivals:
            own = [opening, *(s[2] for s in rivals if s[1] is kind)]
            unsure[id(kind)] = kind, own
        else:
            pairs.append(Pair(kind, opening, turned))
    return Paired(pairs, list(unsure.values()))


def _scores(kinds: Sequence[Kind], openings: Sequence[Opening]) -> list[tuple[float, Kind, Opening, bool]]:
    fitting = [
        (kind, opening, turned)
        for kind in kinds
        for opening in openings
        if (turned := _turned(kind.shape, opening.row.shape)) is not None
        and leaf_of(kind.leaf) == _leaf(opening)
        and opening.stands_at(kind.positions)
    ]
    ways, fits = Counter(id(kind) for kind, _, _ in fitting), Counter(id(o) for _, o, _ in fitting)
    found = []
    for kind, opening, turned in fitting:
        score = likeness(kind.module, kind.role, opening.name, opening.role) - turned
        only = ways[id(kind)] == 1 == fits[id(opening)]
        score = max(score + _ONLY, _ENOUGH) if only and opening.lacking else score + only * _ONLY
        if score >= _ENOUGH:
            found.append((score, kind, opening, turned))
    return found


def _leaf(opening: Opening) -> str:
    return opening.row.leaf.leaf


def _turned(own: Shape | None, wanted: Shape) -> bool | None:
    """Whether a matrix lies the other way round; None where the shapes do not fit. Unknown ones are taken to."""
    if own is None or own == wanted:
        return False
    return True if len(own) == 2 and own[::-1] == wanted else None
