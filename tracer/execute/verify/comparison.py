"""What rank 0 made of the prompt against what Transformers makes of it, as a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mappings.findings import Finding
from tracer.execute.verify.bisection import Bisection, Stretch
from tracer.execute.verify.landmarks import Measured, Unaligned, landmarks
from tracer.execute.verify.passed import Passed
from tracer.execute.verify.points import LOGITS
from tracer.execute.verify.reference import NoReference, Reference, refer
from tracer.execute.verify.sources import Sources
from tracer.execute.verify.states import States, read_states
from tracer.execute.verify.suspects import Suspects
from tracer.execute.verify.tolerance import MOST, Tolerance
from tracer.prepare import Prepared
from tracer.verified import REFERENCE, Verified


def compare(prepared: Prepared, sound: Prepared, passed: Passed, states: Path) -> Verified:
    """`sound` is what the reference is made of; `states` are those of rank 0."""
    try:
        reference = refer(sound, passed.ids, passed.dtype)
        if sound is not prepared:
            reference = reference._replace(name=f"{reference.name} with {sound.title}")
        return judge(reference, read_states(states), Sources(prepared.plan), passed)
    except (NoReference, Unaligned) as reason:
        return Verified(REFERENCE, "not-checked", str(reason))


def judge(reference: Reference, ours: States, sources: Sources, passed: Passed) -> Verified:
    """The logits decide; where they depart, the states before them say where it begins. Raises Unaligned."""
    for computed in filter(None, (reference.exact, reference.narrow)):
        logits = computed.values[LOGITS, "output"]
        if not bool(logits.isfinite().all()):
            raise NoReference(f"{reference.name} computes logits in {_plain(logits.dtype)} that are not finite")
    tolerance = Tolerance(reference.exact, reference.narrow, sources.routed)
    bisection = Bisection(ours, tolerance, sources)
    marks, why_not = landmarks(ours, reference.exact, tolerance)
    measured = [bisection.measure(mark) for mark in marks]
    last = measured[-1]
    few = f" of {MOST[0]:.0%} of the tokens" if tolerance.routed and reference.narrow else ""
    told = f"{reference.name}, {_plain(passed.dtype)}, logits{few} differ by {last.distance:.2g} of their"
    told += f" spread (allowed {last.allowed:.2g}), {_layers(measured, why_not)}"
    if last.agrees:
        return Verified(REFERENCE, "ok", told)
    stretch = bisection.first(measured)
    params = stretch.suspects.params
    evidence = {
        "reference": reference.name, "dtype": passed.dtype, "ids": list(passed.ids),
        "layer": stretch.after.landmark.layer,
        "departing": first.landmark.told if (first := stretch.suspects.departing) else stretch.after.landmark.told,
        "parameters": sources.evidence(params),
        "distances": {found.landmark.told: found.distance for found in measured},
        "allowed": {found.landmark.told: found.allowed for found in measured},
    }  # fmt: skip
    finding = Finding(
        "verify.reference-differs", "error", _subject(stretch), _message(stretch, reference, sources), evidence,
        _fix(params, _plain(passed.dtype) if _may_be_routing(stretch, tolerance) else None),
    )  # fmt: skip
    return Verified(REFERENCE, "failed", told, (finding,))


def _may_be_routing(stretch: Stretch, tolerance: Tolerance) -> bool:
    """Whether rounding alone may part the two, by sending tokens to other experts: nowhere before the first layer."""
    embedded = stretch.before is None and stretch.after.landmark.ours[0] != LOGITS
    return tolerance.routed and tolerance.narrow is not None and not embedded


def _fix(params: Sequence[str], rounded: str | None) -> str | None:
    """`rounded` is the type whose rounding may be all that is wrong."""
    look = f"look at what fills them: --param '{params[0]}'" if params else None
    if rounded is None:
        return look
    decides = f"--dtype float32 decides: rounding to {rounded} may have sent tokens to other experts"
    return f"{decides}; if it departs there too, {look}" if look else decides


def _plain(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _layers(measured: Sequence[Measured], why_not: str) -> str:
    if why_not:
        return f"layers not compared ({why_not})"
    layers = [found for found in measured if found.landmark.layer is not None]
    agreeing = sum(found.agrees for found in layers)
    return f"{agreeing} of {len(layers)} layers agree"


def _subject(stretch: Stretch) -> str:
    """Something that can be searched for."""
    landmark = stretch.after.landmark
    params = stretch.suspects.params
    return params[0].rpartition(".")[0] if params and landmark.layer is None else landmark.ours[0].strip("()")


def _message(stretch: Stretch, reference: Reference, sources: Sources) -> str:
    before, after = stretch.before, stretch.after
    layer = after.landmark.layer
    away = f"differs by {after.distance:.2g} (allowed {after.allowed:.2g})"
    if layer is not None and before is not None:
        text = f"layer {layer} ({after.landmark.ours[0]}) departs from {reference.name}: its input agrees to"
        text += f" {before.distance:.2g}, its output {away}"
    else:
        text = f"{after.landmark.told} departs from {reference.name}: it {away}"
        text += f"; {before.landmark.told} agrees to {before.distance:.2g}" if before else ""
        return text + _parameters(stretch.suspects, sources)
    return text + _inside(stretch.suspects) + _parameters(stretch.suspects, sources)


def _inside(found: Suspects) -> str:
    """What narrows a layer down."""
    last, first = found.agreeing, found.departing
    told = [f"{last.landmark.told} agrees to {last.distance:.2g}"] if last else []
    told += [f"{first.landmark.told} differs by {first.distance:.2g}"] if first else []
    return f"; within it {', '.join(told)}" if told else ""


def _parameters(found: Suspects, sources: Sources) -> str:
    return f"; parameters: {sources.told(found.params)}" if found.params else ""
