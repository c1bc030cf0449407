"""Which weight of A is which of B: by name, under an edit of names, by the rows of both, or as parts of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracer.diff.alike import by_rows
from tracer.diff.fusing import Fusion, fusions
from tracer.diff.weights import Shape, Weight, plain
from tracer.renames import Rewrite, rewrites


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
    """The edits of that side whose names need the plainer ones: who strips a prefix knows which one it was."""
    # Names that both have are known on both sides: an edit that makes one of them collides.
    shapes_a, shapes_b = _shapes(a), _shapes(b)
    of_b = rewrites(left_b, left_a, shapes_b, shapes_a)
    of_a = rewrites(left_a, left_b, shapes_a, shapes_b)
    edits = [Renamed("A", rewrite) for rewrite in of_a]
    if _worth(of_b) >= _worth(of_a):
        edits = [Renamed("B", rewrite) for rewrite in of_b]
    for renamed in edits:
        found.renamed.append(renamed)
        for name, other in renamed.rewrite.pairs.items():
            own_a, own_b = (name, other) if renamed.of == "A" else (other, name)
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
