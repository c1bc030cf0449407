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
from contextlib import closing
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from mappings.findings import Finding
from mappings.names import collapse
from tracer.checkpoint.folder import Checkpoint
from tracer.diff.values.rows import Unreadable
from tracer.errors import InputError
from tracer.infer.canonical import text_config
from tracer.meaning import rivals
from tracer.meaning.conventions import Order, model_type, rotary_order
from tracer.meaning.drawn import why_untrained
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
    likeness,
    profiles,
    reordered,
    steps_of,
    wrong,
)
from tracer.repair.changes import Transform

NAME = "rope-order"
DOUBT = 2.8
"""Standard deviations from which one layer may not be in order where the rest is."""
CLEAR = 2.2
"""Up to which every layer has to be in order where only some were reordered."""
_CLEARER = 1.0
"""By how much one of two repairs leaves the worst layer nearer to order."""
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
        of: profiles(material, [parts[n] for n in layers], counts[of], kv)[:, :turned]
        for of, parts in (("q", q), ("k", k))
    }
    if material.names.has("q_norm", "k_norm") and len(layers) >= _INDEPENDENT:
        units = {of: held.reshape(len(layers), -1, turned).mean(1) for of, held in units.items()}
    if len(units["k"]) < _LEAST_UNITS:
        return not_checked(NAME, f"{len(layers)} layers of {kv} heads are too few to agree or not")
    if order == "pairs":
        units = {of: reordered(held, TO_HALVES) for of, held in units.items()}
    return _told(material, judge(units, counts), order, layers, turned < dim, units)


def stored_order(checkpoint: Checkpoint, config: Mapping[str, Any]) -> str:
    """`pairs` or `halves`, as the values say; `untrained` where there are none, or nobody trained them; else empty."""
    with closing(Material(checkpoint, config)) as material:
        heads, kv, dim = material.heads
        q, k = material.of("q"), material.of("k")
        layers = spread(sorted(q.keys() & k.keys()))
        if checkpoint.files.folder is None or not checkpoint.tensors:
            return "untrained"
        try:
            if why_untrained(material):
                return "untrained"
        except (Unreadable, InputError):
            return "untrained"
        if _unfit(q, k, layers, (heads, kv, dim), dim) or len(layers) * kv < _LEAST_UNITS:
            return ""
        counts = {"q": heads, "k": kv}
        try:
            units = {
                of: profiles(material, [parts[n] for n in layers], counts[of], kv) for of, parts in (("q", q), ("k", k))
            }
        except (Unreadable, InputError):
            return ""
    if in_order(judge(units, counts)):
        return "halves"
    return "pairs" if in_order(judge({of: reordered(held, TO_HALVES) for of, held in units.items()}, counts)) else ""


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


# --- what came of it ---


@dataclass(frozen=True, slots=True)
class _Wrong:
    """What has to be reordered: of each of q and k the layers, and the steps."""

    readings: Mapping[str, Reading]
    layers: Sequence[int] | None
    """None for all of them."""


def _told(
    material: Material, judged: Mapping[str, Judged], order: Order, layers: Sequence[int], partly: bool,
    units: Mapping[str, Numbers],
) -> Meant:  # fmt: skip
    heads, kv, _ = material.heads
    counts = {"q": heads, "k": kv}
    mended = wrong(judged)
    stored = {of: each.stored for of, each in judged.items()}
    apart = dict(zip(layers, by_layer(stored, stored | mended, len(layers)), strict=True))
    odd = [n for n, value in apart.items() if value >= WRONG]
    steps = {"q": (Step(TO_HALVES, heads),), "k": (Step(TO_HALVES, kv),)}
    some = _Wrong({of: replace(each.stored, steps=steps[of]) for of, each in judged.items()},
                  [n for n, value in apart.items() if value >= DOUBT])  # fmt: skip
    tried = [_Wrong(mended, None)] if mended else []
    tried += [some] if (odd or mended) and 0 < len(some.layers or ()) < len(layers) else []
    left_wrong = [(worst_after(units, counts, each, layers), at) for at, each in enumerate(tried)]
    if mended or (not in_order(judged) and in_doubt(judged)):
        alike = max((alike for (worst, alike), _ in left_wrong if worst < DOUBT), default=-1.0)
        other = rivals.examine(material, judged, mended, alike, layers)
        if other is not None:
            return other
    ((least, _), best), *rest = [*sorted(left_wrong), ((DOUBT, 0.0), -1)]
    limit = CLEAR if best >= 0 and tried[best].layers else DOUBT
    if least < limit and all(value - least >= _CLEARER for (value, _), at in rest if at >= 0):
        return _found(material, judged, tried[best], order, layers, partly, "")
    if mended:
        clear = [n for n, value in apart.items() if value >= DOUBT]
        left = f"only layers {clear} are clear" if clear else "no layer by itself is clear"
        left = f"{left}, and no one reordering puts all of them right"
        return _found(material, judged, _Wrong(mended, clear or None), order, layers, True, left)
    if in_order(judged):
        doubtful = [n for n, value in apart.items() if value >= DOUBT]
        left = f"layers {doubtful} may be in another order than the rest" if doubtful else ""
        return fine(NAME, f"q and k of {len(layers)} layers are paired in {order} ({_read(judged)})", left, left)
    return not_checked(
        NAME, f"the rows of q and k of {len(layers)} layers do not tell which are pairs ({_read(judged)})"
    )


def in_doubt(judged: Mapping[str, Judged]) -> bool:
    """Whether one of them agrees more than by chance."""
    return any(each.stored.read.deviate >= WRONG for each in judged.values())


def worst_after(
    units: Mapping[str, Numbers], counts: Mapping[str, int], bad: _Wrong, layers: Sequence[int]
) -> tuple[float, float]:  # fmt: skip
    """How far the worst layer is from order once these are reordered, and how alike q and k are then.

    Infinite where all of them together are not in order then: a repair must not spoil any.
    """
    changed = {of: held.copy() for of, held in units.items()}
    for of, reading in bad.readings.items():
        own = len(units[of]) // len(layers)
        for place, layer in enumerate(layers):
            if bad.layers is None or layer in bad.layers:
                part = changed[of][place * own : (place + 1) * own]
                for step in reading.steps:
                    part = reordered(part, step.op, step.heads // counts[of])
                changed[of][place * own : (place + 1) * own] = part
    after = judge(changed, counts)
    stored = {of: each.stored for of, each in after.items()}
    alike = likeness(stored["k"].pairs, stored["q"].pairs)
    return (max(by_layer(stored, stored, len(layers))) if in_order(after) else inf), alike


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
    evidence = {**evidence, "why": _why(stored, bad.readings, told)}
    message = (
        f"{_named(names)}: the rows are not in the order in which the model turns them ({order}):"
        f" reorder {_shortly(steps)} ({_briefly(stored, bad.readings)})"
    )
    finding = Finding("value.rope-order", "error", names[0], message, evidence, f"reorder the rows of {told}")
    sure = bad.layers is None or len(layers) == len(material.of("q"))
    whole = sure and not partly and all(part.is_plain for held in parts.values() for part in held)
    return found(NAME, _read(judged), finding, *(_changes(material, steps, bad) if whole else ()), unchecked=left)


def _named(names: Sequence[str]) -> str:
    """`model.layers.{0..3}.self_attn.{q_proj, k_proj}.weight`, where one segment alone is another."""
    texts = [text for text, _ in collapse(names)]
    segments = [text.split(".") for text in texts]
    if len(texts) != 2 or len(segments[0]) != len(segments[1]):
        return ", ".join(texts)
    both = list(zip(*segments, strict=True))
    if sum(one != other for one, other in both) != 1:
        return ", ".join(texts)
    return ".".join(one if one == other else f"{{{one}, {other}}}" for one, other in both)


def _shortly(steps: Mapping[str, Sequence[Step]]) -> str:
    """`q from pairs to halves in 4 heads, k in 2`, where both need the same; the fix has it in full."""
    own = list(steps.values())
    if len(own) != 2 or [step.op for step in own[0]] != [step.op for step in own[1]] or len(own[0]) != 1:
        return steps_of(steps)
    first, second = steps
    return f"{steps_of({first: own[0]})}, {second} in {own[1][0].heads}"


def _briefly(stored: Mapping[str, Reading], mended: Mapping[str, Reading]) -> str:
    if any(each.is_contradicted for each in stored.values()):
        return f"heads agree in which row is longer by {_both(stored)} standard deviations"
    return f"they show no order as they are, and once reordered one of {_shown(mended)} standard deviations"


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
