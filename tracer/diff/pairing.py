"""Which weight of A is which of B: by name, under an edit of names, by the rows of both, or as parts of another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tracer.diff.alike import by_rows
from tracer.diff.fusing import Fusion, fusions
from tracer.diff.weights import Shape, Weight, plain
from tracer.renames import Edit, Rewrite, rewrites

_MOST_EDITS = 6
_MOSTLY = 0.5
"""Share of the smaller side's names, above which one edit is believed though no shape speaks for it."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """An edit and whose names it is made of."""

    of: str
    """`A` or `B`."""
    rewrite: Rewrite


@dataclass(slots=True)
class Pairing:
    """Every weight of both sides once: in a pair, in a fusion, or on one side only."""

    pairs: list[tuple[Weight, Weight]] = field(default_factory=list)
    same_name: int = 0
    renamed: list[Renamed] = field(default_factory=list)
    by_rows: str = ""
    """The architecture whose rows say which is which, where names alone do not; empty elsewhere."""
    by_row_pairs: int = 0
    fusions: list[Fusion] = field(default_factory=list)
    beside: list[tuple[Weight, Weight]] = field(default_factory=list)
    """Scales of activations, of weights that are paired and quantised on both sides."""
    only_a: list[Weight] = field(default_factory=list)
    only_b: list[Weight] = field(default_factory=list)

    @property
    def matched_a(self) -> int:
        return len(self.pairs) + sum(len(fusion.of("A")) for fusion in self.fusions)

    @property
    def matched_b(self) -> int:
        return len(self.pairs) + sum(len(fusion.of("B")) for fusion in self.fusions)


def pair(
    a: Mapping[str, Weight], b: Mapping[str, Weight],
    config_a: Mapping[str, object] | None = None, config_b: Mapping[str, object] | None = None,
) -> Pairing:  # fmt: skip
    """Pair what can be paired, the plainest way first."""
    found = Pairing()
    found.pairs = [(one, b[name]) for name, one in a.items() if name in b]
    found.same_name = len(found.pairs)
    left_a, left_b = ({name: own[name] for name in own if name not in other} for own, other in ((a, b), (b, a)))
    if left_a and left_b:
        _by_rows(found, left_a, left_b, config_a, config_b)
    if left_a and left_b:
        _renamed(found, a, b, left_a, left_b)
    if left_a and left_b:
        found.fusions = fusions(_under(found, "A", left_a), _under(found, "B", left_b))
        for fusion in found.fusions:
            for weight in fusion.of("A"):
                del left_a[weight.name]
            for weight in fusion.of("B"):
                del left_b[weight.name]
    found.only_a, found.only_b = list(left_a.values()), list(left_b.values())
    for one, other in found.pairs:
        _beside(found, one, other)
    return found


def _beside(found: Pairing, one: Weight, other: Weight) -> None:
    """Whoever quantises may add them; that one quantised side has others than the other is a difference."""
    if one.scheme is None or other.scheme is None or not (one.beside or other.beside):
        return
    for leaf in one.beside.keys() | other.beside.keys():
        if leaf in one.beside and leaf in other.beside:
            found.beside.append((plain(one.beside[leaf]), plain(other.beside[leaf])))
        elif leaf in one.beside:
            found.only_a.append(plain(one.beside[leaf]))
        else:
            found.only_b.append(plain(other.beside[leaf]))


def _by_rows(
    found: Pairing, left_a: dict[str, Weight], left_b: dict[str, Weight],
    config_a: Mapping[str, object] | None, config_b: Mapping[str, object] | None,
) -> None:  # fmt: skip
    if found.pairs or config_a is None or config_b is None:
        return
    arch, same = by_rows(left_a, left_b, config_a, config_b)
    for name, other in same.items():
        found.pairs.append((left_a.pop(name), left_b.pop(other)))
    found.by_rows, found.by_row_pairs = arch if same else "", len(same)


def _renamed(
    found: Pairing, a: Mapping[str, Weight], b: Mapping[str, Weight],
    left_a: dict[str, Weight], left_b: dict[str, Weight],
) -> None:  # fmt: skip
    """By edits under which shapes agree; what has another shape under one of them is the same name all the same.

    Of another size of the family no shape agrees: then names are enough for one edit that most of them speak for.
    """
    edits = _edits(left_a, left_b, _shapes(a), _shapes(b), _MOST_EDITS)
    edits = edits or _by_names(left_a, left_b, min(len(a), len(b)))
    for renamed in edits:
        own, other = (left_a, left_b) if renamed.of == "A" else (left_b, left_a)
        pairs = dict(renamed.rewrite.pairs)
        _take(found, renamed.of, pairs, left_a, left_b)
        resized = _agreeing(renamed.rewrite.edit, own, other)
        _take(found, renamed.of, resized, left_a, left_b)
        found.renamed.append(Renamed(renamed.of, replace(renamed.rewrite, pairs=pairs | resized, misshapen=0)))


def _edits(
    left_a: Collection[str], left_b: Collection[str], shapes_a: Mapping[str, Shape], shapes_b: Mapping[str, Shape],
    most: int,
) -> list[Renamed]:  # fmt: skip
    """Of that side whose names need the plainer ones: who strips a prefix knows which one it was."""
    of_b = rewrites(left_b, left_a, shapes_b, shapes_a, most)
    of_a = rewrites(left_a, left_b, shapes_a, shapes_b, most)
    if _worth(of_b) >= _worth(of_a):
        return [Renamed("B", rewrite) for rewrite in of_b]
    return [Renamed("A", rewrite) for rewrite in of_a]


def _by_names(left_a: Collection[str], left_b: Collection[str], fewest: int) -> list[Renamed]:
    """Modules of two models may be called alike here and there; most of the `fewest` names of a side are not."""
    return [one for one in _edits(left_a, left_b, {}, {}, 1) if one.rewrite.mapped > _MOSTLY * fewest]


def _agreeing(edit: Edit, own: Collection[str], other: Collection[str]) -> dict[str, str]:
    """What an edit gives among the names left, each once."""
    targets: dict[str, list[str]] = {}
    for name in own:
        if (target := edit.apply(name)) in other and target is not None:
            targets.setdefault(target, []).append(name)
    return {names[0]: target for target, names in targets.items() if len(names) == 1}


def _take(
    found: Pairing, of: str, pairs: Mapping[str, str], left_a: dict[str, Weight], left_b: dict[str, Weight]
) -> None:  # fmt: skip
    """Names of one side and those that they become, of which nothing is left."""
    for name, target in pairs.items():
        own_a, own_b = (name, target) if of == "A" else (target, name)
        found.pairs.append((left_a.pop(own_a), left_b.pop(own_b)))


def _shapes(weights: Mapping[str, Weight]) -> dict[str, Shape]:
    return {name: weight.shape for name, weight in weights.items() if weight.shape is not None}


def _worth(found: Sequence[Rewrite]) -> tuple[int, int, int]:
    mapped = sum(rewrite.mapped for rewrite in found)
    return mapped, -len(found), -sum(rewrite.edit.cost for rewrite in found)


def _under(found: Pairing, of: str, left: Mapping[str, Weight]) -> dict[str, Weight]:
    """What is left, under the names that the edits of its side would give it."""
    named = {}
    for name, weight in left.items():
        for renamed in found.renamed:
            if renamed.of == of:
                name = renamed.rewrite.edit.apply(name) or name
        named[name] = weight
    return named
