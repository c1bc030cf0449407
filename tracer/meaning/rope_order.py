"""value.rope-order: whether the rows of q and k are paired as the model's rotary embedding pairs them.

The two rows of a pair turn at one frequency, and turning both of q and both of k by a quarter changes nothing: which
of the two is longer is a coin thrown once a pair, and no two heads have to agree on it. Rows that are no pair turn at
different frequencies, of which all heads of all layers use some more than others. So the statistic is how far heads
agree in which row is longer (`signs.agreement` of the differences of logarithms): chance under the right reading,
and most of the variance under a wrong one. Whether it could be seen at all is found out by reading the same rows in
the wrong order on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.infer.canonical import text_config
from tracer.meaning.conventions import Order, model_type, rotary_order
from tracer.meaning.material import Material, Numbers, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.rotary_reading import (
    TO_HALVES,
    WRONG,
    Judged,
    Reading,
    Step,
    by_layer,
    in_order,
    in_pairs,
    judge,
    reordered,
    steps_of,
    wrong,
)
from tracer.repair.changes import Transform

NAME = "rope-order"
IN_ORDER, DOUBT = 1.5, 2.8
"""Standard deviations up to which one layer is in order where the rest is not, and from which it may not be."""
_LEAST_PAIRS = 4
_LEAST_UNITS = 3
_INDEPENDENT = 8
"""Layers from which on a layer counts as one: where q and k have norms, the heads of a layer share their weights."""


def examine(material: Material) -> Meant:
    order = rotary_order(material.checkpoint, material.config)
    if order is None:
        kind = model_type(material.config) or "this model"
        return not_checked(NAME, f"which rows of q and k {kind} pairs is not known")
    heads, kv, dim = material.heads
    q, k = material.of("q"), material.of("k")
    layers = spread(sorted(q.keys() & k.keys()))
    turned = _turned(material, dim)
    reason = _unfit(q, k, layers, (heads, kv, dim), turned)
    if reason:
        return not_checked(NAME, reason)
    counts = {"q": heads, "k": kv}
    units = {
        of: _profiles(material, [parts[n] for n in layers], counts[of], kv)[:, :turned]
        for of, parts in (("q", q), ("k", k))
    }
    if material.names.has("q_norm", "k_norm") and len(layers) >= _INDEPENDENT:
        units = {of: held.reshape(len(layers), -1, turned).mean(1) for of, held in units.items()}
    if len(units["k"]) < _LEAST_UNITS:
        return not_checked(NAME, f"{len(layers)} layers of {kv} heads are too few to agree or not")
    if order == "pairs":
        units = {of: reordered(held, TO_HALVES) for of, held in units.items()}
    return _told(material, judge(units, counts), order, layers, partly=turned < dim)


def _unfit(
    q: Mapping[int, Part], k: Mapping[int, Part], layers: Sequence[int], sizes: tuple[int, int, int], turned: int
) -> str:
    heads, kv, dim = sizes
    if not layers:
        return "there is no layer whose q and k are matrices of their own, or known parts of one"
    if not heads or not dim or heads % kv:
        return "config.json does not say how many heads of what size q and k have"
    if turned % 2 or not 2 * _LEAST_PAIRS <= turned <= dim:
        return f"{turned} of the {dim} dimensions of a head are turned: too few, or not in pairs"
    if any(q[n].shape[0] != heads * dim or k[n].shape[0] != kv * dim for n in layers):
        return "q or k has not the rows that the heads of config.json need"
    return ""


def _turned(material: Material, dim: int) -> int:
    """The first so many dimensions of a head; 0 where config.json cannot be understood."""
    text = text_config(material.config)
    parameters = text.get("rope_parameters")
    for fields in (text, parameters if isinstance(parameters, dict) else {}):
        if type(fields.get("rotary_dim")) is int:
            return int(fields["rotary_dim"])
        for key in ("partial_rotary_factor", "rotary_pct"):
            if key in fields:
                share = fields[key]
                return int(dim * share) if isinstance(share, int | float) and 0 < share <= 1 else 0
    return dim


def _profiles(material: Material, parts: Sequence[Part], heads: int, groups: int) -> Numbers:
    """How long rows are, as logarithms of squares: [layers x groups, dim], the heads of a group averaged."""
    found = []
    for part in parts:
        dim = part.shape[0] // heads
        sums = [np.einsum("ij,ij->i", piece, piece) for piece in material.pieces(part, dim)]
        squares = np.concatenate(sums).astype(np.float64)
        logs = np.log(np.maximum(squares, squares.max() * 1e-12 + 1e-300))
        found.append(logs.reshape(groups, heads // groups, dim).mean(1))
    return np.concatenate(found)


# --- what came of it ---


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What has to be reordered: of each of q and k the layers, and the steps."""

    readings: Mapping[str, Reading]
    layers: Sequence[int] | None
    """None for all of them."""


def _told(material: Material, judged: Mapping[str, Judged], order: Order, layers: Sequence[int], partly: bool) -> Meant:
    mended = wrong(judged)
    stored = {of: each.stored for of, each in judged.items()}
    apart = dict(zip(layers, by_layer(stored, stored | mended, len(layers)), strict=True))
    if mended:
        usual = all(each.steps == (Step(TO_HALVES, each.steps[0].heads),) for each in mended.values())
        fine_already = [n for n, value in apart.items() if value < IN_ORDER] if usual and len(mended) == 2 else []
        left = f"layers {fine_already} seem to be in order already" if fine_already else ""
        bad = _Wrong(mended, [n for n in layers if n not in fine_already] if fine_already else None)
        return _found(material, judged, bad, order, layers, partly, left)
    odd = [n for n, value in apart.items() if value >= WRONG]
    doubtful = [n for n, value in apart.items() if DOUBT <= value < WRONG]
    left = f"layers {doubtful} may be in another order than the rest" if doubtful else ""
    if odd and in_order(judged):
        heads, kv, _ = material.heads
        steps = {"q": (Step(TO_HALVES, heads),), "k": (Step(TO_HALVES, kv),)}
        readings = {of: replace(each.stored, steps=steps[of]) for of, each in judged.items()}
        return _found(material, judged, _Wrong(readings, odd), order, layers, partly, left)
    if in_order(judged):
        return fine(NAME, f"q and k of {len(layers)} layers are paired in {order} ({_read(judged)})", left)
    return not_checked(
        NAME, f"the rows of q and k of {len(layers)} layers do not tell which are pairs ({_read(judged)})"
    )


def _found(
    material: Material, judged: Mapping[str, Judged], bad: _Wrong, order: Order, layers: Sequence[int], partly: bool,
    left: str,
) -> Meant:  # fmt: skip
    heads, kv, _ = material.heads
    counts = {"q": heads, "k": kv}
    steps = {of: each.steps for of, each in bad.readings.items()}
    if order == "pairs":
        steps = {of: in_pairs(each, counts[of]) for of, each in steps.items()}
    parts = {of: _in(material.of(of), bad.layers) for of in steps}
    names = [part.name for held in parts.values() for part in held]
    stored = {of: judged[of].stored for of in steps}
    worst = max(stored.values(), key=lambda each: each.read.deviate)
    evidence = measured(
        *_statistic(worst, bad.readings), WRONG, len(layers), "layers",
        share=round(worst.read.share, 3), order=order,
        stored={of: [round(each.read.deviate, 3), round(each.shown.deviate, 3)] for of, each in stored.items()},
        repaired={of: [round(each.read.deviate, 3), round(each.shown.deviate, 3)] for of, each in bad.readings.items()},
        steps={of: [[step.op, step.heads] for step in each] for of, each in steps.items()},
    )  # fmt: skip
    told = steps_of(steps)
    message = (
        f"{', '.join(text for text, _ in collapse(names))}: the rows are not in the order in which the model turns them"
        f" ({order}): over {len(layers)} layers, {_why(stored, bad.readings, told)}"
    )
    finding = Finding("value.rope-order", "error", names[0], message, evidence, f"reorder the rows of {told}")
    sure = bad.layers is None or len(layers) == len(material.of("q"))
    whole = sure and not partly and all(part.is_plain for held in parts.values() for part in held)
    return found(NAME, _read(judged), finding, *(_changes(material, steps, bad) if whole else ()), unchecked=left)


def _why(stored: Mapping[str, Reading], mended: Mapping[str, Reading], told: str) -> str:
    if any(each.is_contradicted for each in stored.values()):
        before = (
            f"heads agree in which row of a pair is longer by {_both(stored)} standard deviations, where chance is 0"
        )
        return f"{before}; after reordering {told} by {_both(mended)}"
    before = f"the rows show no order as they are ({_shown(stored)} standard deviations if put wrong on purpose)"
    return f"{before}, and fit after reordering {told} ({_shown(mended)})"


def _statistic(worst: Reading, mended: Mapping[str, Reading]) -> tuple[str, float]:
    """What convicts the order: that it is contradicted, or else that no other fits as it is and this one does."""
    told = "agreement of heads in which row of a pair is longer"
    if worst.is_contradicted:
        return told, worst.read.deviate
    return f"{told}, if the repaired rows are put wrong on purpose", min(e.shown.deviate for e in mended.values())


def _in(parts: Mapping[int, Part], layers: Sequence[int] | None) -> list[Part]:
    return [part for layer, part in parts.items() if layers is None or layer in layers]


def _changes(material: Material, steps: Mapping[str, Sequence[Step]], bad: _Wrong) -> Iterator[Transform]:
    """Biases go with their rows."""
    for of, own in steps.items():
        held = [part for leaf in ("weight", "bias") for part in _in(material.of(of, leaf), bad.layers)]
        for step in own:
            yield Transform(tuple(part.name for part in held), step.op, step.heads)


def _read(judged: Mapping[str, Judged]) -> str:
    stored = {of: each.stored for of, each in judged.items()}
    return f"heads agree by {_both(stored)} standard deviations, put wrong on purpose {_shown(stored)}"


def _both(readings: Mapping[str, Reading]) -> str:
    """`q 0.3, k -0.1`."""
    return ", ".join(f"{of} {each.read.deviate:.1f}" for of, each in readings.items())


def _shown(readings: Mapping[str, Reading]) -> str:
    return ", ".join(f"{of} {each.shown.deviate:.1f}" for of, each in readings.items())
