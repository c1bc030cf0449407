"""Biases that the rows of an architecture do not expect, or expect and do not find."""

from __future__ import annotations

from collections.abc import Sequence

from mappings.params import Param
from mappings.rows import Row
from tracer.starter.base import Base
from tracer.starter.draft import Draft, of_param, of_row
from tracer.starter.kinds import Kind


def rebias(draft: Draft, kinds: Sequence[Kind], base: Base, removing: bool) -> list[Kind]:
    """Write parameters with, or where `removing` without, a bias in the place of those of the base; the other kinds."""
    rows: dict[str, list[Row]] = {}
    for bound in base.binding.rows:
        own = rows.setdefault(bound.leaf.param.name, [])
        if bound.row not in own:
            own.append(bound.row)
    taken: list[Kind] = []
    for feeding in rows.values():
        param = feeding[0].slot.param
        extra = [kind for row in feeding for kind in kinds if kind.name == row.leaf_name("bias")]
        if extra and len(extra) == len(feeding) and base.binding.leaf(param, "bias") is None and param.style == "module":
            _write(draft, param, feeding, True, "with a bias, which its rows do not expect")
            taken += extra
        elif removing and _bare(base, param):
            _write(draft, param, feeding, False, "without the bias that its rows expect")
            base.open[:] = [o for o in base.open if o.row.leaf.param.name != param.name]
    return [kind for kind in kinds if kind not in taken]


def _bare(base: Base, param: Param) -> bool:
    """Whether all weights of a parameter are here and no bias of it is, though it has one."""
    open_leaves = {opening.row.leaf.leaf for opening in base.open if opening.row.leaf.param.name == param.name}
    biases = [o for o in base.open if o.row.leaf.param.name == param.name and o.row.leaf.leaf == "bias"]
    all_biases = [row for row in base.binding.rows if row.leaf.param.name == param.name and row.leaf.leaf == "bias"]
    return open_leaves == {"bias"} and len(biases) == len(all_biases)


def _write(draft: Draft, param: Param, rows: Sequence[Row], biased: bool, why: str) -> None:
    draft.params.append(of_param(param, f"{param.name} {why}", biased))
    draft.rebiased.add(param.name)
    draft.rows += [of_row(row, row.name, row.style, "") for row in rows]
