"""value.transposed: square matrices that lie across, which no shape shows.

All matrices of a layer share the dimensions of the residual stream, and nothing but these: any of them may change sign
everywhere at once. So the Gram matrix of a square matrix over the side that meets the residual stream has signs in
common with that of gate and up (or of the embedding) over the same dimensions, and over the other side none but by
chance. The statistic is `signs.alignment` of both sides, pooled over layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.material import PIECE, Material, Numbers, Part, runs, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.signs import alignment, pooled
from tracer.repair.changes import Transform

NAME = "transposed"
ALIGNED = 8.0
CHANCE = 4.0
_DIMENSIONS = 512
"""Of the residual stream that are looked at, in runs."""
_ROWS = 1_024
READ = ("q", "k", "v", "gate", "up")
"""Roles whose columns meet the residual stream; of the others the rows do."""
WRITTEN = ("out", "down")


@dataclass(frozen=True, slots=True)
class Sides:
    """How a matrix of one layer is aligned, as it is stored and across."""

    layer: int
    right: float
    across: float

    @property
    def is_across(self) -> bool:
        return self.across >= ALIGNED and self.right < CHANCE

    @property
    def is_right(self) -> bool:
        return self.right >= ALIGNED and self.across < max(CHANCE, self.right / 4)


def examine(material: Material) -> Meant:
    """Each role and each layer by itself."""
    hidden = material.size("hidden")
    known = [role for role in (*READ, *WRITTEN) if material.of(role)]
    if not hidden or not known:
        what = "which matrices of the layers are which" if hidden else "the hidden size of config.json"
        return not_checked(NAME, f"{what} is not known")
    square = {role: parts for role in known if (parts := _square(material, role, hidden))}
    if not square:
        return fine(NAME, f"of {', '.join(known)} none is square: shapes tell how each lies")
    if any(part.is_packed for parts in square.values() for part in parts.values()):
        return not_checked(NAME, "the square matrices are packed: a quantiser rounds alike along the inputs of each")
    layers = spread(sorted({layer for parts in square.values() for layer in parts}))
    measures = _measure(material, square, layers, hidden)
    if not measures:
        return not_checked(NAME, "no matrix of known side is beside the square ones")
    told = ", ".join(f"{role} {_pooled(held)}" for role, held in measures.items())
    count = len({each.layer for held in measures.values() for each in held})
    told = f"{told} standard deviations over {count} layers, as stored and across"
    unclear = {
        role: sum(not (each.is_across or each.is_right) for each in held)
        for role, held in measures.items()
        if not (_whole(held).is_right or _whole(held).is_across)
        or any(not each.is_right and each.across >= CHANCE for each in held if not each.is_across)
    }
    left = "; ".join(f"{role}: {count} of {len(measures[role])} layers do not tell" for role, count in unclear.items())
    wrong = {role: bad for role, held in measures.items() if (bad := [each for each in held if each.is_across])}
    if not wrong:
        return fine(NAME, told, left)
    return _found(square, wrong, measures, told, left)


def _whole(held: Sequence[Sides]) -> Sides:
    """All layers as one."""
    return Sides(-1, pooled([each.right for each in held]), pooled([each.across for each in held]))


def _pooled(held: Sequence[Sides]) -> str:
    whole = _whole(held)
    return f"{round(whole.right)} against {round(whole.across)}"


def _square(material: Material, role: str, hidden: int) -> Mapping[int, Part]:
    return {n: part for n, part in material.of(role).items() if part.shape == (hidden, hidden) and hidden > 1}


def _measure(
    material: Material, square: Mapping[str, Mapping[int, Part]], layers: Sequence[int], hidden: int
) -> dict[str, list[Sides]]:
    """By role, a layer each."""
    most = min(_DIMENSIONS, max(1, PIECE // hidden))
    chosen = np.concatenate([np.arange(start, stop) for start, stop in runs(hidden, most)])
    found: dict[str, list[Sides]] = {}
    for layer in layers:
        yardstick = _yardstick(material, layer, chosen, hidden)
        if yardstick is None:
            continue
        for role, parts in square.items():
            if layer in parts:
                columns, rows = _grams(material, parts[layer], chosen)
                sides = (columns, rows) if role in READ else (rows, columns)
                found.setdefault(role, []).append(Sides(layer, *(alignment(side, yardstick) for side in sides)))
    return found


def _yardstick(material: Material, layer: int, chosen: Numbers, hidden: int) -> Numbers | None:
    """The Gram matrix of what can lie in one way only: gate and up of the layer, else the embedding."""
    wide = [part for role in ("gate", "up") if (part := material.of(role).get(layer))]
    table = material.outside("embed")
    wide = [part for part in [*wide, *([table] if table else [])] if part.shape[1] == hidden != part.shape[0]][:2]
    if not wide:
        return None
    rows = [material.sampled(part, _ROWS)[:, chosen] for part in wide]
    return np.asarray(sum(each.T @ each / max(float((each**2).sum()), 1e-30) for each in rows))


def _grams(material: Material, part: Part, chosen: Numbers) -> tuple[Numbers, Numbers]:
    """Over some columns, and over the rows of the same numbers."""
    columns = material.sampled(part, _ROWS)[:, chosen]
    rows = material.sampled(part, len(chosen))
    return columns.T @ columns, rows @ rows.T


def _found(
    square: Mapping[str, Mapping[int, Part]], wrong: Mapping[str, Sequence[Sides]],
    measures: Mapping[str, Sequence[Sides]], told: str, left: str,
) -> Meant:  # fmt: skip
    """What one writer of files turned, it turned in all layers, unless some of those looked at are right."""
    parts: list[Part] = []
    for role, bad in wrong.items():
        every = len(bad) == len(measures[role])
        parts += square[role].values() if every else [square[role][each.layer] for each in bad]
    names = tuple(part.name for part in parts)
    looked = [each for bad in wrong.values() for each in bad]
    evidence = measured(
        "alignment with the other matrices across", min(each.across for each in looked), ALIGNED, len(looked),
        "matrices", as_stored=round(max(each.right for each in looked), 3), roles=list(wrong),
    )  # fmt: skip
    message = (
        f"{', '.join(text for text, _ in collapse(names))}: square, and transposed: {told}; the other matrices of the"
        " layers have the dimensions of the residual stream on the other side"
    )
    partly = any(len(bad) < len(held) < len(square[role]) for role, bad in wrong.items() for held in [measures[role]])
    whole = not partly and all(part.is_plain for part in parts)
    finding = Finding("value.transposed", "error", names[0], message, evidence, "transpose them")
    return found(NAME, told, finding, *([Transform(names, "transpose")] if whole else []), unchecked=left)
