"""Biases that the rows of an architecture do not expect, or expect and do not find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from mappings.params import Param
from mappings.rows import Row
from tracer.starter.base import Base, Opening
from tracer.starter.draft import Draft, of_param, of_row
from tracer.starter.kinds import Kind


class Feeding(NamedTuple):
    """A parameter of the base with its rows, each under the name that it has here."""

    param: Param
    rows: Mapping[Row, str]


def rebias(draft: Draft, kinds: Sequence[Kind], base: Base, paired: Set[int], removing: bool) -> list[Kind]:
    """Write parameters with, or where `removing` without, a bias in the place of those of the base.

    `paired` are the ids of the openings that were filled. Returns the kinds that are still to be placed.
    """
    left = {kind.name: kind for kind in kinds}
    still = [opening for opening in base.open if id(opening) not in paired]
    for feeding in _fed(draft, base, still):
        extra = [f"{name}.bias" for name in feeding.rows.values()]
        if base.binding.leaf(feeding.param, "bias") is None and all(name in left for name in extra):
            _write(draft, feeding, True, "with a bias, which the rows do not expect")
            for name in extra:
                del left[name]
        elif removing and _bare(base, feeding, still):
            _write(draft, feeding, False, "without the bias that the rows expect")
            draft.settled |= {id(opening) for opening in still if opening.row.leaf.param.name == feeding.param.name}
    return list(left.values())


def _fed(draft: Draft, base: Base, still: Sequence[Opening]) -> list[Feeding]:
    """The modules of the base whose weights are all here, under their own names or others."""
    missing = {opening.row.row for opening in still if opening.row.leaf.leaf == "weight"}
    rows: dict[str, dict[Row, str]] = {}
    lame: set[str] = set()
    for bound in base.binding.rows:
        param, row = bound.leaf.param, bound.row
        if row in missing or param.style != "module":
            lame.add(param.name)
        rows.setdefault(param.name, {})[row] = _name_here(draft, row)
    return [Feeding(next(iter(own)).slot.param, own) for name, own in rows.items() if name not in lame]


def _name_here(draft: Draft, row: Row) -> str:
    parts = tuple(part.name for part in row.slot.parts if part.name)
    whole = len(row.slot.parts) == len(row.slot.param.parts)
    wanted = row.slot.param.name, () if whole else parts
    return next((new.name for new in draft.rows if (new.param, new.parts) == wanted), row.name)


def _bare(base: Base, feeding: Feeding, still: Sequence[Opening]) -> bool:
    """Whether no row of a parameter has the bias that all of them should have."""
    open_ = [o.row for o in still if o.row.leaf.param.name == feeding.param.name]
    wanted = [r for r in base.binding.rows if r.leaf.param.name == feeding.param.name and r.leaf.leaf == "bias"]
    return bool(open_) and open_ == wanted


def _write(draft: Draft, feeding: Feeding, biased: bool, why: str) -> None:
    param = feeding.param
    draft.params.append(of_param(param, f"{param.name} {why}", biased))
    draft.rebiased.add(param.name)
    known = {row.name for row in draft.rows if row.param == param.name}
    new = [of_row(row, name, row.style, "") for row, name in feeding.rows.items() if name not in known]
    draft.rows += new
