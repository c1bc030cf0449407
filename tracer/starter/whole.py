"""Parts of a parameter that are one tensor on disk, where the rows of the base have a tensor for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mappings.rows import Row
from tracer.starter.adopting import name_differs
from tracer.starter.base import Base, Opening
from tracer.starter.draft import Draft, NewRow
from tracer.starter.kinds import Kind
from tracer.starter.practice import ON_DISK


class _Side(NamedTuple):
    """The rows of one parameter, by the part that each leads to."""

    home: str
    """The module that holds them, as on disk."""
    weights: Mapping[str, Opening]


def held_whole(draft: Draft, kinds: Sequence[Kind], base: Base) -> list[Kind]:
    """Write one row where rows of parts have no tensors and one that is as long as all of them lies there; the rest."""
    left = list(kinds)
    for side in _sides(base):
        parts = next(iter(side.weights.values())).row.row.slot.param.parts
        names = tuple(part.name for part in parts)
        kind = next((kind for kind in left if _is_whole(kind, side, names, left)), None)
        if kind is None:
            continue
        _write(draft, kind, side, names)
        left = [each for each in left if each.module != kind.module]
    return left


def _sides(base: Base) -> Iterator[_Side]:
    """Of parameters whose parts all have rows of their own, none of which found a tensor."""
    found: dict[str, dict[str, Opening]] = {}
    for opening in base.open:
        slot = opening.row.row.slot
        if opening.row.leaf.leaf == "weight" and len(slot.parts) == 1 and slot.param.style == "module":
            found.setdefault(slot.param.name, {})[slot.parts[0].name] = opening
    for weights in found.values():
        openings = list(weights.values())
        homes = {opening.name.rpartition(".")[0].rpartition(".")[0] for opening in openings}
        if len(openings) == len(openings[0].row.row.slot.param.parts) > 1 == len(homes):
            yield _Side(homes.pop(), weights)


def _is_whole(kind: Kind, side: _Side, parts: tuple[str, ...], beside: Sequence[Kind]) -> bool:
    """Whether it is the only leaf of its module, or lies beside a bias that the parts have too, and is long enough."""
    home, _, last = kind.module.rpartition(".")
    openings = list(side.weights.values())
    own = openings[0].row.row.slot.param.name.rpartition(".")[2]
    if kind.leaf != "weight" or home != side.home or (last != own and tuple(ON_DISK.get(kind.role, ())) != parts):
        return False
    if any(each.module == kind.module and each is not kind for each in beside):
        return False
    shapes = [opening.row.shape for opening in openings]
    wanted = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    return kind.shape == wanted and all(opening.stands_at(kind.positions) for opening in openings)


def _write(draft: Draft, kind: Kind, side: _Side, parts: tuple[str, ...]) -> None:
    rows: dict[str, Row] = {opening.row.row.name: opening.row.row for opening in side.weights.values()}
    param = next(iter(rows.values())).slot.param
    told = f"{', '.join(parts)} are taken to lie one after the other; by head they would have this shape too"
    draft.rows.append(NewRow(kind.module, param.name, why=told))
    draft.assumed.append(f"{kind.name}: {told}")
    draft.removes += [(name, f"{kind.module} holds it") for name in rows if name_differs(draft, name)]
    draft.settled |= {id(opening) for opening in side.weights.values()}
