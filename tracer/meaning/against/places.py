"""What became of a tensor that is not the reference's: where in the reference it is, or what was done to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tracer.diff.values.rows import Unreadable
from tracer.meaning.against.matched import SAME, cosine
from tracer.meaning.against.rows import turn
from tracer.meaning.against.tensors import Likeness, held, rows
from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.rotary_reading import Step, repairs

Kind: TypeAlias = Literal[
    "moved", "order", "transposed", "scaled", "offset", "mixed", "permuted", "added", "foreign", "blank"
]
_FINGERPRINT = 1 << 12
"""Numbers by which a tensor is looked for among all of its shape."""
_MOST_ROWS = 1 << 11
_MOST_COLUMNS = 1 << 12
_TOGETHER = 0.02
"""Relative distance up to which a vector is another one; its own is several times as far."""
_RANK, _SHARE = 16, 0.95
"""Singular values that hold so much of a difference of low rank; of 64 rows."""
_OFFSETS = (1.0, -1.0)
_NEAR = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """What was found out about one tensor."""

    of: Likeness
    kind: Kind
    where: str = ""
    """Names in the reference: of the tensor that it is, or of those whose rows it has."""
    steps: tuple[Step, ...] = ()
    amount: float = 0.0

    @property
    def name(self) -> str:
        return self.of.name


def places(material: Material, reference: Material, strange: Sequence[Likeness]) -> list[Place]:
    """Of each the first explanation that holds."""
    search = _Search(material, reference, strange)
    return [search.place(each) for each in strange]


class _Search:
    def __init__(self, material: Material, reference: Material, strange: Sequence[Likeness]) -> None:
        self._material, self._reference = material, reference
        self._others = held(reference)
        shapes = {each.mine.shape for each in strange}
        self._prints: dict[tuple[int, int], tuple[list[str], Numbers]] = {}
        for shape in shapes:
            parts = [part for part in self._others.values() if part.shape == shape]
            read = [(part.name, found) for part in parts if (found := self._print(reference, part)) is not None]
            if read:
                self._prints[shape] = [name for name, _ in read], np.stack([found for _, found in read])

    def _print(self, material: Material, part: Part) -> Numbers | None:
        try:
            found = rows(material, part).ravel()
        except Unreadable:
            return None
        return found[:: -(-len(found) // _FINGERPRINT)].astype(np.float64)

    def place(self, each: Likeness) -> Place:
        mine = rows(self._material, each.mine)
        if not mine.any():
            return Place(each, "blank")
        if each.is_scaled:
            return Place(each, "scaled", amount=each.scale)
        if where := self._moved(each):
            return Place(each, "moved", where)
        if each.is_vector:
            return self._offset(each)
        if _is_added(mine, rows(self._reference, each.theirs)):
            return Place(each, "added")
        return self._edited(each) or self._mixed(each) or Place(each, "foreign")

    def _moved(self, each: Likeness) -> str:
        """The one tensor of the reference that it is, better by far than its own."""
        own = self._print(self._material, each.mine)
        if own is None or each.mine.shape not in self._prints:
            return ""
        names, prints = self._prints[each.mine.shape]
        if each.is_vector:
            away = np.linalg.norm(prints - own, axis=1) / np.maximum(np.linalg.norm(prints, axis=1), 1e-300)
            best = int(away.argmin())
            return names[best] if away[best] <= min(_TOGETHER, each.distance / 5) else ""
        alike = prints @ own / np.maximum(np.linalg.norm(prints, axis=1) * np.linalg.norm(own), 1e-300)
        best = int(alike.argmax())
        return names[best] if alike[best] >= SAME and names[best] != each.theirs.name else ""

    def _offset(self, each: Likeness) -> Place:
        apart = float(np.median(rows(self._material, each.mine) - rows(self._reference, each.theirs)))
        off = next((amount for amount in _OFFSETS if abs(apart - amount) <= _NEAR and each.cosine >= SAME), 0.0)
        return Place(each, "offset", amount=off) if off else Place(each, "foreign")

    def _edited(self, each: Likeness) -> Place | None:
        count = min(each.mine.shape[0], _MOST_ROWS)
        a, b = self._material.read(each.mine, 0, count), self._reference.read(each.theirs, 0, count)
        for steps, own in self._ways(each):
            whole = count // (each.mine.shape[0] // own) * (each.mine.shape[0] // own)
            if whole and cosine(turn(steps, own, each.mine.shape[0] // own)(a[:whole]), b[:whole]) >= SAME:
                return Place(each, "order", steps=steps)
        if each.mine.shape[0] == each.mine.shape[1] and each.mine.shape[0] <= _MOST_ROWS and cosine(a.T, b) >= SAME:
            return Place(each, "transposed")
        return None

    def _ways(self, each: Likeness) -> Iterator[tuple[tuple[Step, ...], int]]:
        heads, kv, dim = self._reference.heads
        for role, own in (("q", heads), ("k", kv)):
            fits = own and kv and not heads % kv and dim % 4 == 0 and each.mine.shape[0] == own * dim
            if fits and any(part.name == each.name for part in self._material.of(role).values()):
                yield from ((way, own) for way in repairs(dim, own, (heads, kv)))

    def _mixed(self, each: Likeness) -> Place | None:
        """Whether its rows are the reference's at other places: of its own tensor, or of its module."""
        module = each.theirs.name.split(".")[:-2]
        near = [
            part for part in self._others.values()
            if part.name.split(".")[:-2] == module and part.shape[1] == each.mine.shape[1] > 1
        ]  # fmt: skip
        if each.mine.shape[1] > _MOST_COLUMNS or sum(part.shape[0] for part in near) > 4 * _MOST_ROWS:
            return None
        mine_rows = rows(self._material, each.mine)
        mine = _unit(mine_rows)
        found = {part.name: (mine @ _unit(self._reference.read(part)).T).max(1) for part in near}
        best = np.stack(list(found.values()))
        if (best.max(0) >= SAME).mean() < SAME:
            columns = _unit(mine_rows.T) @ _unit(rows(self._reference, each.theirs).T).T
            return Place(each, "permuted") if (columns.max(1) >= SAME).mean() >= SAME else None
        names = [list(found)[at] for at in sorted({*best.argmax(0).tolist()})]
        return Place(each, "permuted" if names == [each.theirs.name] else "mixed", ", ".join(names))


def _is_added(mine: Numbers, theirs: Numbers) -> bool:
    """Whether the difference is of low rank, as a merged adapter's."""
    values = np.linalg.svd((mine - theirs).astype(np.float64), compute_uv=False) ** 2
    return len(values) > 2 * _RANK and float(values[:_RANK].sum()) >= _SHARE * float(values.sum())


def _unit(numbers: Numbers) -> Numbers:
    return np.asarray(numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-30))


def by_kind(found: Sequence[Place]) -> Mapping[Kind, list[Place]]:
    kinds: dict[Kind, list[Place]] = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each)
    return kinds
