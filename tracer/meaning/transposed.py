"""value.transposed: square matrices that lie across, which no shape shows.

All matrices of a layer share the dimensions of the residual stream, and nothing but these: any of them may change sign
everywhere at once. So the Gram matrix of a square matrix over the side that meets the residual stream has signs in
common with that of gate and up (or of the embedding) over the same dimensions, and over the other side none but by
chance. The statistic is `signs.alignment` of both sides, pooled over layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.material import Material, Numbers, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.signs import alignment, pooled
from tracer.repair.changes import Transform

NAME = "transposed"
ALIGNED = 8.0
CHANCE = 4.0
_DIMENSIONS = 512
"""Of the residual stream that are looked at, evenly spread; and rows of the yardstick."""
_ROWS = 2_048
READ = ("q", "k", "v", "gate", "up")
"""Roles whose columns meet the residual stream; of the others the rows do."""
WRITTEN = ("out", "down")


def examine(material: Material) -> Meant:
    """Each role by itself: what one writer of files turned, it turned in all layers."""
    hidden = material.size("hidden")
    square = {role: _square(material, role, hidden) for role in (*READ, *WRITTEN)}
    square = {role: parts for role, parts in square.items() if parts}
    if not square:
        return fine(NAME, "no matrix of the layers is square: shapes tell how each lies")
    layers = spread(sorted({layer for parts in square.values() for layer in parts}))
    measures = _measure(material, square, layers, hidden)
    if not measures:
        return not_checked(NAME, "no matrix of known side is beside the square ones")
    pools = {role: (pooled([a for a, _ in held]), pooled([b for _, b in held])) for role, held in measures.items()}
    told = ", ".join(f"{role} {right:.0f} against {across:.0f}" for role, (right, across) in pools.items())
    told = f"{told} standard deviations over {len(layers)} layers, as stored and across"
    wrong = [role for role, (right, across) in pools.items() if across >= ALIGNED and right < CHANCE]
    unclear = [role for role, (right, across) in pools.items() if role not in wrong and not _lies_right(right, across)]
    left = f"{', '.join(unclear)}: neither side is the residual stream's beyond doubt ({told})" if unclear else ""
    if not wrong:
        return fine(NAME, told, left)
    return _found(square, wrong, pools, told, left, len(layers))


def _lies_right(right: float, across: float) -> bool:
    return right >= ALIGNED and across < max(CHANCE, right / 4)


def _square(material: Material, role: str, hidden: int) -> Mapping[int, Part]:
    return {n: part for n, part in material.of(role).items() if part.shape == (hidden, hidden) and hidden > 1}


def _measure(
    material: Material, square: Mapping[str, Mapping[int, Part]], layers: Sequence[int], hidden: int
) -> dict[str, list[tuple[float, float]]]:
    """Role -> alignment as stored and across, a layer each."""
    chosen = np.unique(np.linspace(0, hidden - 1, min(hidden, _DIMENSIONS)).astype(np.int64))
    found: dict[str, list[tuple[float, float]]] = {}
    for layer in layers:
        yardstick = _yardstick(material, layer, chosen, hidden)
        if yardstick is None:
            continue
        for role, parts in square.items():
            if layer in parts:
                columns, rows = _grams(material, parts[layer], chosen)
                sides = (columns, rows) if role in READ else (rows, columns)
                found.setdefault(role, []).append((alignment(sides[0], yardstick), alignment(sides[1], yardstick)))
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
    """Over some columns, and over some rows."""
    over_columns = np.zeros((len(chosen), len(chosen)), np.float32)
    kept, start = [], 0
    for piece in material.pieces(part):
        some = piece[:, chosen]
        over_columns += some.T @ some
        kept.append(piece[chosen[(chosen >= start) & (chosen < start + len(piece))] - start])
        start += len(piece)
    rows = np.concatenate(kept)
    return over_columns, rows @ rows.T


def _found(
    square: Mapping[str, Mapping[int, Part]], wrong: Sequence[str], pools: Mapping[str, tuple[float, float]], told: str,
    left: str, pool: int,
) -> Meant:  # fmt: skip
    parts = [part for role in wrong for part in square[role].values()]
    names = tuple(part.name for part in parts)
    across = min(pools[role][1] for role in wrong)
    evidence = measured(
        "alignment with the other matrices across", across, ALIGNED, pool, "layers",
        as_stored=round(max(pools[role][0] for role in wrong), 3), roles=list(wrong),
    )  # fmt: skip
    message = (
        f"{', '.join(text for text, _ in collapse(names))}: square, and transposed: {told}; the other matrices of the"
        " layers have the dimensions of the residual stream on the other side"
    )
    whole = all(part.is_plain for part in parts)
    finding = Finding("value.transposed", "error", names[0], message, evidence, "transpose them")
    return found(NAME, told, finding, *([Transform(names, "transpose")] if whole else []), unchecked=left)
