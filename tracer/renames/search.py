"""Searches the edit that maps most names, without two of them becoming one, and with equal shapes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mappings.names import blank
from tracer.renames.candidates import Shape, candidates
from tracer.renames.edit import Edit

_TRIED = 6
"""Edits that are tried on all names, of those that did best on one name of each kind."""
_KINDS = 2_000
"""Names that are looked at to find edits; beyond that every n-th."""
_SHARE = 0.02
"""Of the names left: an edit that maps fewer explains nothing."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What an edit makes of the names of one side."""

    edit: Edit
    pairs: Mapping[str, str] = field(repr=False)
    """Name -> the other side's name, of those that the edit maps with equal shapes."""
    touched: int
    """Names that the edit changes."""
    total: int
    """Names that were to be mapped: those that are not on the other side as they are."""
    collisions: int
    """Names that would become one that another has, too."""
    misshapen: int
    """Names that would become one of another shape."""

    @property
    def mapped(self) -> int:
        return len(self.pairs)

    @property
    def score(self) -> tuple[int, int]:
        """More names, then fewer words."""
        return self.mapped - self.collisions - self.misshapen, -self.edit.cost


def best_rewrite(
    names_a: Collection[str], names_b: Collection[str],
    shapes_a: Mapping[str, Shape] | None = None, shapes_b: Mapping[str, Shape] | None = None,
) -> Rewrite | None:  # fmt: skip
    """The one edit of `names_a` that maps most of those that `names_b` lacks to names that `names_a` lacks.

    Shapes, where given, must be equal. None where no edit maps a fiftieth of them without collisions.
    """
    known, taken = set(names_a), set(names_b)
    wanted = taken - known
    left = [name for name in dict.fromkeys(names_a) if name not in taken] if wanted else []
    if not left:
        return None
    shapes, others = shapes_a or {}, shapes_b or {}
    own_kinds, other_kinds = _one_of_each(left), _one_of_each(name for name in names_b if name in wanted)
    templates = {blank(name)[0] for name in wanted}
    counts = _counts(left)
    rough = [
        (sum(counts[blank(name)[0]] for name in own_kinds if _fits(edit.apply(name), templates)), -edit.cost, edit)
        for edit in dict.fromkeys(candidates(own_kinds, other_kinds, shapes, others))
    ]  # fmt: skip
    rough.sort(key=lambda tried: tried[:2], reverse=True)
    sound = []
    for hits, _, edit in rough[:_TRIED]:
        found = _applied(edit, left, wanted, known, shapes, others) if hits else None
        if found and not found.collisions and found.score[0] > _SHARE * len(left):
            sound.append(found)
            if found.mapped == len(left):
                break
    return max(sound, key=lambda found: found.score, default=None)


def rewrites(
    names_a: Collection[str], names_b: Collection[str],
    shapes_a: Mapping[str, Shape] | None = None, shapes_b: Mapping[str, Shape] | None = None, most: int = 6,
) -> list[Rewrite]:  # fmt: skip
    """The best edit, then the best for what it leaves, and so on."""
    found: list[Rewrite] = []
    left, wanted = dict.fromkeys(names_a), dict.fromkeys(names_b)
    while len(found) < most:
        best = best_rewrite(left, wanted, shapes_a, shapes_b)
        if best is None:
            break
        found.append(best)
        for name, other in best.pairs.items():
            del left[name], wanted[other]
    return found


def _one_of_each(names: Iterable[str]) -> list[str]:
    """The first name of each template."""
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(blank(name)[0], name)
    return list(firsts.values())[:: 1 + len(firsts) // _KINDS]


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        template = blank(name)[0]
        counts[template] = counts.get(template, 0) + 1
    return counts


def _fits(name: str | None, templates: Collection[str]) -> bool:
    return name is not None and blank(name)[0] in templates


def _applied(
    edit: Edit, left: Collection[str], wanted: Collection[str], known: Collection[str],
    shapes: Mapping[str, Shape], others: Mapping[str, Shape],
) -> Rewrite:  # fmt: skip
    """The edit on every name: a target that two names reach, or that is another name of this side, is no target."""
    targets: dict[str, list[str]] = {}
    touched = 0
    for name in left:
        target = edit.apply(name)
        if target is not None and target != name:
            touched += 1
            targets.setdefault(target, []).append(name)
    collisions = sum(len(names) for target, names in targets.items() if len(names) > 1 or target in known)
    hits = {names[0]: target for target, names in targets.items() if target in wanted and len(names) == 1}
    fitting = {name: target for name, target in hits.items() if _same(shapes.get(name), others.get(target))}
    return Rewrite(edit, fitting, touched, len(left), collisions, len(hits) - len(fitting))


def _same(one: Shape | None, other: Shape | None) -> bool:
    return one is None or other is None or one == other
