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
from dataclasses import dataclass

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.meaning.conventions import Order, model_type, rotary_order
from tracer.meaning.material import Material, Numbers, Part, spread
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.signs import Agreement, agreement, pooled
from tracer.repair.changes import Op, Transform

NAME = "rope-order"
WRONG = 4.0
"""Standard deviations from which heads agree more than by chance, and the least that a fault must have shown."""
CHANCE = 3.5
SHARE = 0.15
"""Of the differences that is common to all heads, at least: a small one may be real without being an order."""
_LEAST_PAIRS = 4
_LEAST_UNITS = 3
_INDEPENDENT = 8
"""Layers from which on a layer counts as one: where q and k have norms, the heads of a layer share their weights."""
_FIRST: Op = "interleaved-to-half"
_BACK: Op = "half-to-interleaved"


@dataclass(frozen=True, slots=True)
class Step:
    """One reordering of the rows: heads of as many as there are, or of another number by mistake."""

    op: Op
    heads: int


def examine(material: Material) -> Meant:
    order = rotary_order(material.checkpoint, material.config)
    if order is None:
        return not_checked(
            NAME, f"which rows of q and k {model_type(material.config) or 'this model'} pairs is not known"
        )
    heads, kv, dim = material.heads
    q, k = material.of("q"), material.of("k")
    layers = spread(sorted(q.keys() & k.keys()))
    reason = _unfit(q, k, layers, (heads, kv, dim)) or _partly(material, dim)
    if reason:
        return not_checked(NAME, reason)
    units = {
        "q": _profiles(material, [q[n] for n in layers], heads, kv),
        "k": _profiles(material, [k[n] for n in layers], kv, kv),
    }
    if material.names.has("q_norm", "k_norm") and len(layers) >= _INDEPENDENT:
        units = {of: held.reshape(len(layers), -1, dim).mean(1) for of, held in units.items()}
    if min(len(held) for held in units.values()) < _LEAST_UNITS:
        return not_checked(NAME, f"{len(layers)} layers of {kv} heads are too few to agree or not")
    judged = {of: _judge(held, order, kv if of == "k" else heads, (heads, kv)) for of, held in units.items()}
    return _told(material, judged, order, layers)


def _unfit(q: Mapping[int, Part], k: Mapping[int, Part], layers: Sequence[int], sizes: tuple[int, int, int]) -> str:
    heads, kv, dim = sizes
    if not layers:
        return "there is no layer whose q and k are matrices of their own"
    if not heads or not dim or heads % kv or dim % 2 or dim // 2 < _LEAST_PAIRS:
        return (
            f"config.json does not say how many heads of what size q has, or they have fewer than {_LEAST_PAIRS} pairs"
        )
    if any(q[n].shape[0] != heads * dim or k[n].shape[0] != kv * dim for n in layers):
        return "q or k has not the rows that the heads of config.json need"
    return ""


def _partly(material: Material, dim: int) -> str:
    fields = material.config
    share = fields.get("partial_rotary_factor", 1.0)
    if share != 1.0 or fields.get("rotary_dim", dim) != dim or fields.get("rotary_pct", 1.0) != 1.0:
        return "only a part of each head is turned"
    return ""


def _profiles(material: Material, parts: Sequence[Part], heads: int, groups: int) -> Numbers:
    """How long rows are, as logarithms of squares: [layers x groups, dim], the heads of a group averaged."""
    found = []
    for part in parts:
        dim = part.shape[0] // heads
        squares = np.concatenate([(piece.astype(np.float64) ** 2).sum(1) for piece in material.pieces(part, dim)])
        logs = np.log(np.maximum(squares, squares.max() * 1e-12 + 1e-300))
        found.append(logs.reshape(groups, heads // groups, dim).mean(1))
    return np.concatenate(found)


# --- one of q and k ---


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows in some order."""

    steps: tuple[Step, ...]
    """What was done to them as they are stored."""
    read: Agreement
    shown: Agreement
    """After they were put into the other order on purpose."""
    rough: float
    """How much neighbouring frequencies differ."""

    @property
    def fits(self) -> bool:
        return self.read.deviate < CHANCE and self.shown.deviate >= WRONG and self.shown.share >= SHARE

    @property
    def contradicted(self) -> bool:
        return self.read.deviate >= WRONG and self.read.share >= SHARE

    @property
    def is_flat(self) -> bool:
        return self.read.deviate < CHANCE and self.shown.deviate < CHANCE


@dataclass(frozen=True, slots=True)
class Judged:
    """One of the two projections: as it is, and the reordering that makes it fit where another one may."""

    stored: Reading
    mended: Reading | None


def _judge(profiles: Numbers, order: Order, own: int, counts: tuple[int, int]) -> Judged:
    """`own` is how many heads it has, `counts` those of q and of k."""
    stored = _read(profiles, (), order, own)
    if stored.fits:
        return Judged(stored, None)
    tried = [_read(profiles, steps, order, own) for steps in _repairs(own, counts)]
    return Judged(stored, min((each for each in tried if each.fits), key=lambda each: each.rough, default=None))


def _read(profiles: Numbers, steps: tuple[Step, ...], order: Order, own: int) -> Reading:
    turned = _through(profiles, steps, own)
    other = _reordered(turned, _BACK if order == "halves" else _FIRST, 1)
    mean = turned.mean(0)
    pairs = mean.reshape(2, -1).sum(0) if order == "halves" else mean.reshape(-1, 2).sum(1)
    rough = float((np.diff(pairs) ** 2).sum())
    return Reading(steps, agreement(_differences(turned, order)), agreement(_differences(other, order)), rough)


def _repairs(own: int, counts: tuple[int, int]) -> list[tuple[Step, ...]]:
    """Reorderings that mend one that was left out, done twice, or done with the other's number of heads."""
    others = [count for count in dict.fromkeys(counts) if count > own]
    once = [(Step(op, count),) for count in (own, *others) for op in (_FIRST, _BACK)]
    twice = [(Step(a, count), Step(b, own)) for count in others for a, b in ((_BACK, _FIRST), (_FIRST, _BACK))]
    return [*once, *twice]


def _through(profiles: Numbers, steps: Sequence[Step], own: int) -> Numbers:
    for step in steps:
        profiles = _reordered(profiles, step.op, step.heads // own if step.heads > own else 1)
    return profiles


def _reordered(profiles: Numbers, op: Op, pieces: int) -> Numbers:
    """The rows of each of so many pieces of a head in the other order."""
    units, dim = profiles.shape
    size = dim // pieces
    split = (2, size // 2) if op == _BACK else (size // 2, 2)
    return profiles.reshape(units * pieces, *split).swapaxes(1, 2).reshape(units, dim)


def _differences(profiles: Numbers, order: Order) -> Numbers:
    half = profiles.shape[1] // 2
    if order == "halves":
        return profiles[:, :half] - profiles[:, half:]
    return profiles[:, 0::2] - profiles[:, 1::2]


# --- both ---


def _told(material: Material, judged: Mapping[str, Judged], order: Order, layers: Sequence[int]) -> Meant:
    over = f"{len(layers)} layers"
    read = "; ".join(f"{of}: {_numbers(each.stored)}" for of, each in judged.items())
    wrong = _wrong(judged)
    if wrong:
        return _found(material, judged, wrong, order, layers)
    stored = [each.stored for each in judged.values()]
    seen = pooled([each.shown.deviate for each in stored])
    if all(each.read.deviate < CHANCE <= each.shown.deviate for each in stored) and seen >= WRONG:
        return fine(NAME, f"q and k of {over} are paired in {order} ({read})")
    return not_checked(NAME, f"the rows of q and k of {over} do not tell which of them are pairs ({read})")


def _wrong(judged: Mapping[str, Judged]) -> dict[str, Reading]:
    """What has to be reordered: what contradicts its order, or both where both are flat and fit after the same step."""
    mended = {of: each.mended for of, each in judged.items() if each.mended is not None}
    found = {of: reading for of, reading in mended.items() if judged[of].stored.contradicted}
    ops = {tuple(step.op for step in reading.steps) for reading in mended.values()}
    if len(mended) == 2 and len(ops) == 1 and (found or all(each.stored.is_flat for each in judged.values())):
        return mended
    return found


def _found(
    material: Material, judged: Mapping[str, Judged], wrong: Mapping[str, Reading], order: Order, layers: Sequence[int]
) -> Meant:
    parts = {of: material.of(of) for of in wrong}
    names = [part.name for held in parts.values() for part in held.values()]
    told, stored = _steps(wrong), {of: judged[of].stored for of in wrong}
    worst = max(stored.values(), key=lambda each: each.read.deviate)
    after = max(each.read.deviate for each in wrong.values())
    evidence = measured(
        "agreement of heads in which row of a pair is longer", worst.read.deviate, WRONG, len(layers), "layers",
        share=round(worst.read.share, 3), repaired=round(after, 3), order=order,
        steps={of: [[step.op, step.heads] for step in each.steps] for of, each in wrong.items()},
    )  # fmt: skip
    message = (
        f"{', '.join(text for text, _ in collapse(names))}: the rows are not in the order in which the model turns them"
        f" ({order}): {'; '.join(f'{of}: {_numbers(each)}' for of, each in stored.items())}, over {len(layers)} layers;"
        f" after {told} {after:.1f}"
    )
    finding = Finding("value.rope-order", "error", names[0], message, evidence, f"reorder the rows: {told}")
    whole = all(part.is_whole for held in parts.values() for part in held.values())
    return found(
        NAME,
        f"{' and '.join(wrong)} of {len(layers)} layers",
        finding,
        *(_changes(material, parts, wrong) if whole else ()),
    )


def _changes(
    material: Material, parts: Mapping[str, Mapping[int, Part]], wrong: Mapping[str, Reading]
) -> Iterator[Transform]:
    """Biases go with their rows."""
    for of, reading in wrong.items():
        held = [*parts[of].values(), *material.of(of, "bias").values()]
        for step in reading.steps:
            yield Transform(tuple(part.name for part in held), step.op, step.heads)


def _numbers(reading: Reading) -> str:
    return f"{reading.read.deviate:.1f} standard deviations from chance, {reading.shown.deviate:.1f} in the other order"


def _steps(wrong: Mapping[str, Reading]) -> str:
    """`interleaved-to-half with 32 heads for q and interleaved-to-half with 8 heads for k`."""
    told = {
        of: ", then ".join(f"{step.op} with {step.heads} heads" for step in each.steps) for of, each in wrong.items()
    }
    return " and ".join(f"{text} for {of}" for of, text in told.items())
