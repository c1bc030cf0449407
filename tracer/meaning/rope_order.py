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
from dataclasses import replace

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.infer.canonical import text_config
from tracer.meaning.conventions import Order, model_type, rotary_order
from tracer.meaning.material import Material, Numbers, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.rotary_reading import CHANCE, TO_HALVES, WRONG, Judged, Reading, in_pairs, judge, reordered, wrong
from tracer.meaning.signs import pooled
from tracer.repair.changes import Transform

NAME = "rope-order"
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
        squares = np.concatenate([(piece.astype(np.float64) ** 2).sum(1) for piece in material.pieces(part, dim)])
        logs = np.log(np.maximum(squares, squares.max() * 1e-12 + 1e-300))
        found.append(logs.reshape(groups, heads // groups, dim).mean(1))
    return np.concatenate(found)


# --- what came of it ---


def _told(material: Material, judged: Mapping[str, Judged], order: Order, layers: Sequence[int], partly: bool) -> Meant:
    read = _read(judged)
    mended = wrong(judged)
    if mended:
        return _found(material, judged, mended, order, layers, partly)
    stored = [each.stored for each in judged.values()]
    seen = pooled([each.shown.deviate for each in stored])
    if seen >= WRONG and all(each.read.deviate < CHANCE <= each.shown.deviate for each in stored):
        return fine(NAME, f"q and k of {len(layers)} layers are paired in {order} ({read})")
    return not_checked(NAME, f"the rows of q and k of {len(layers)} layers do not tell which are pairs ({read})")


def _found(
    material: Material, judged: Mapping[str, Judged], mended: Mapping[str, Reading], order: Order,
    layers: Sequence[int], partly: bool,
) -> Meant:  # fmt: skip
    heads, kv, _ = material.heads
    if order == "pairs":
        mended = {
            of: replace(each, steps=in_pairs(each.steps, kv if of == "k" else heads)) for of, each in mended.items()
        }
    parts = {of: material.of(of) for of in mended}
    names = [part.name for held in parts.values() for part in held.values()]
    told, stored = _steps(mended), {of: judged[of].stored for of in mended}
    worst = max(stored.values(), key=lambda each: each.read.deviate)
    after = max(each.read.deviate for each in mended.values())
    evidence = measured(
        "agreement of heads in which row of a pair is longer", worst.read.deviate, WRONG, len(layers), "layers",
        share=round(worst.read.share, 3), repaired=round(after, 3), order=order,
        shown=round(min(each.shown.deviate for each in mended.values()), 3),
        steps={of: [[step.op, step.heads] for step in each.steps] for of, each in mended.items()},
    )  # fmt: skip
    message = (
        f"{', '.join(text for text, _ in collapse(names))}: the rows are not in the order in which the model turns them"
        f" ({order}): over {len(layers)} layers, heads agree in which row of a pair is longer by {_both(stored)}"
        f" standard deviations ({_shown(stored)} if the rows were put wrong on purpose), and after {told} by"
        f" {_both(mended)} ({_shown(mended)})"
    )
    finding = Finding("value.rope-order", "error", names[0], message, evidence, f"reorder the rows: {told}")
    whole = not partly and all(part.is_plain for held in parts.values() for part in held.values())
    return found(NAME, _read(judged), finding, *(_changes(material, parts, mended) if whole else ()))


def _changes(
    material: Material, parts: Mapping[str, Mapping[int, Part]], mended: Mapping[str, Reading]
) -> Iterator[Transform]:
    """Biases go with their rows."""
    for of, reading in mended.items():
        held = [*parts[of].values(), *material.of(of, "bias").values()]
        for step in reading.steps:
            yield Transform(tuple(part.name for part in held), step.op, step.heads)


def _read(judged: Mapping[str, Judged]) -> str:
    stored = {of: each.stored for of, each in judged.items()}
    return f"heads agree by {_both(stored)} standard deviations, put wrong on purpose {_shown(stored)}"


def _both(readings: Mapping[str, Reading]) -> str:
    """`q 0.3, k -0.1`."""
    return ", ".join(f"{of} {each.read.deviate:.1f}" for of, each in readings.items())


def _shown(readings: Mapping[str, Reading]) -> str:
    return ", ".join(f"{of} {each.shown.deviate:.1f}" for of, each in readings.items())


def _steps(mended: Mapping[str, Reading]) -> str:
    """`interleaved-to-half with 32 heads for q and interleaved-to-half with 8 heads for k`."""
    told = {of: ", then ".join(f"{s.op} with {s.heads} heads" for s in each.steps) for of, each in mended.items()}
    return " and ".join(f"{text} for {of}" for of, text in told.items())
