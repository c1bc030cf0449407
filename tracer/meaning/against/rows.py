"""Rotary order against the reference's: every reordering that conversions are known to leave out or to do twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mappings.findings import Finding
from tracer.meaning.against.matched import OTHER, ROWS, STATISTIC, Cosines, both, cosines, said, spelled, unlike
from tracer.meaning.conventions import rotary_order
from tracer.meaning.material import Material, Numbers
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.meaning.rope_order import NAME
from tracer.meaning.rotary_reading import TO_HALVES, TO_PAIRS, Step, reordered, repairs, steps_of
from tracer.repair.changes import Transform


def examine(material: Material, reference: Material) -> Meant:
    heads, kv, dim = material.heads
    if not heads or reference.heads != (heads, kv, dim) or heads % kv or dim % 4:
        return not_checked(NAME, "the reference has other heads")
    measures: dict[str, Cosines] = {}
    ways: dict[str, dict[str, tuple[Step, ...]]] = {}
    for of, own in (("q", heads), ("k", kv)):
        read = _read(material, reference, of, own, dim)
        if not read:
            return not_checked(NAME, f"the reference has no {of} of the same shape")
        ways[of] = {_told(way): way for way in repairs(dim, own, (heads, kv))}
        measures[of] = cosines(read, {told: turn(way, own, dim) for told, way in ways[of].items()})
    mended = {of: ways[of][each.best] for of, each in measures.items() if each.is_turned}
    if mended:
        return _found(material, measures, mended)
    if all(each.is_same for each in measures.values()):
        return fine(NAME, said(measures))
    return unlike(NAME, said(measures))


def _read(material: Material, reference: Material, of: str, own: int, dim: int) -> list[tuple[Numbers, Numbers]]:
    """The first heads of some layers, and the reference's in the order that is expected here."""
    pairs = both(material, reference, of)
    count = min(own, max(1, ROWS // dim)) * dim
    if any(mine.shape[0] != own * dim for mine, _ in pairs.values()):
        return []
    expected, theirs = (rotary_order(each.checkpoint, each.config) for each in (material, reference))
    steps: tuple[Step, ...] = ()
    if expected is not None and theirs is not None and expected != theirs:
        steps = (Step(TO_HALVES if expected == "halves" else TO_PAIRS, own),)
    turned = turn(steps, own, dim)
    return [(material.read(a, 0, count), turned(reference.read(b, 0, count))) for a, b in pairs.values()]


def turn(steps: Sequence[Step], own: int, dim: int) -> Callable[[Numbers], Numbers]:
    """Rows of whole heads put into another order: each column of a head is a profile."""

    def turned(rows: Numbers) -> Numbers:
        columns = rows.shape[1]
        profiles = rows.reshape(-1, dim, columns).swapaxes(1, 2).reshape(-1, dim)
        for step in steps:
            profiles = reordered(profiles, step.op, step.heads // own)
        return np.asarray(profiles.reshape(-1, columns, dim).swapaxes(1, 2).reshape(rows.shape))

    return turned


def _told(steps: Sequence[Step]) -> str:
    return ", then ".join(map(str, steps))


def _found(material: Material, measures: Mapping[str, Cosines], mended: Mapping[str, tuple[Step, ...]]) -> Meant:
    held = {of: [*material.of(of).values(), *material.of(of, "bias").values()] for of in mended}
    names = [part.name for of in mended for part in material.of(of).values()]
    after = {of: measures[of].turned[_told(way)] for of, way in mended.items()}
    told = "; ".join(
        f"{of} {measures[of].stored:.3f}, {after[of]:.3f} reordered {_told(way)}" for of, way in mended.items()
    )
    worst = min((measures[of] for of in mended), key=lambda each: each.stored)
    evidence = measured(
        STATISTIC, worst.stored, OTHER, worst.layers, "layers",
        repaired={of: round(value, 4) for of, value in after.items()},
    )  # fmt: skip
    message = f"{spelled(names)}: the rows are in another order than the reference's: cosines {told}"
    finding = Finding(
        "value.rope-order", "error", names[0], message, evidence, f"reorder the rows of {steps_of(mended)}"
    )
    whole = all(part.is_plain for parts in held.values() for part in parts)
    changes = [Transform(tuple(p.name for p in held[of]), s.op, s.heads) for of, way in mended.items() for s in way]
    return found(NAME, told, finding, *(changes if whole else ()))
