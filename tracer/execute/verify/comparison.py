"""What rank 0 made of the prompt against what Transformers makes of it, as a verdict.

Tokens are sent to the same experts on both sides, those that were chosen here (`routing`): rounding decides between
scores that nearly tie, and a token that goes elsewhere is another token from there on, with nothing wrong anywhere.
Nothing hides behind that, as what was chosen follows from the scores, and they are compared like any other state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tracer.execute.verify.bisection import Bisection, Stretch
from tracer.execute.verify.configs import Field, conflict, differing
from tracer.execute.verify.departure import Against, departure
from tracer.execute.verify.landmarks import Measured, Unaligned, landmarks
from tracer.execute.verify.passed import Passed
from tracer.execute.verify.points import LOGITS
from tracer.execute.verify.reference import NoReference, refer, spelled_out
from tracer.execute.verify.sources import Sources
from tracer.execute.verify.states import States, read_states
from tracer.execute.verify.tolerance import EXACT, Tolerance
from tracer.execute.verify.twins import Twins
from tracer.prepare import Prepared
from tracer.verified import REFERENCE, Verified


def compare(prepared: Prepared, sound: Prepared, passed: Passed, states: Path) -> Verified:
    """`sound` is what the reference is made of; `states` are those of rank 0."""
    other = sound is not prepared
    fields = _fields(prepared, sound) if other else []
    try:
        ours = read_states(states)
        reference = refer(sound, passed.ids, passed.dtype, list(ours.chosen.values()))
        reference = reference._replace(name=f"{reference.name} with {sound.title if other else 'the same folder'}")
        twins = Twins(prepared, sound) if other else None
        verdict = judge(Against(reference, Sources(prepared.plan), passed, fields, twins), ours)
    except (NoReference, Unaligned) as reason:
        verdict = Verified(REFERENCE, "not-checked", str(reason))
    return _with_config(verdict, fields, sound) if fields else verdict


def _fields(prepared: Prepared, sound: Prepared) -> list[Field]:
    """Where the configs differ in what they compute; none where Transformers, or its class, is not there to say."""
    try:
        return differing(spelled_out(prepared), spelled_out(sound))
    except NoReference:
        return []


def _with_config(verdict: Verified, fields: list[Field], sound: Prepared) -> Verified:
    """The cause in front of what follows from it."""
    files = sound.checkpoint.files if sound.checkpoint else None
    path = sound.request.model if files is not None and files.has("config.json") else None
    finding = conflict(fields, sound.title, path, verdict.state)
    return replace(verdict, findings=(finding, *verdict.findings))


def judge(against: Against, ours: States) -> Verified:
    """The logits decide, and what they may hide: the products of single tensors, the scores that experts are chosen
    by. Where they depart, the states before them say where it begins. Raises Unaligned, NoReference.
    """  # fmt: skip
    reference = against.reference
    for computed in filter(None, (reference.exact, reference.narrow)):
        logits = computed.values[LOGITS, "output"]
        if not bool(logits.isfinite().all()):
            raise NoReference(f"{reference.name} computes logits in {_plain(logits.dtype)} that are not finite")
    tolerance = Tolerance(reference.exact, reference.narrow)
    bisection = Bisection(ours, tolerance, against.sources)
    marks, why_not = landmarks(ours, reference.exact, tolerance, against.sources.products)
    measured = [bisection.measure(mark) for mark in marks]
    told = _told(against, measured, _met(ours), _layers(measured, why_not))
    if measured[-1].agrees and all(inner.near for found in measured for inner in found.inner):
        if tolerance.coarse:
            raise Unaligned(_too_coarse(tolerance.coarse, _plain(against.passed.dtype)))
        return Verified(REFERENCE, "ok", told)
    stretch = bisection.first(measured)
    if reference.narrow and _may_be_routing(stretch, against.sources, ours, reference.exact):
        raise Unaligned(
            f"logits differ, and rounding to {_plain(against.passed.dtype)} may have sent tokens to other experts,"
            " as the two sides' choices could not be made the same: --dtype float32 decides"
        )  # fmt: skip
    return Verified(REFERENCE, "failed", told, (departure(against, stretch, measured),))


def _may_be_routing(stretch: Stretch, sources: Sources, ours: States, theirs: States) -> bool:
    """Whether choices of experts were not seen, or are not those of the other side's layers: then nothing is known of
    them. Nobody chooses before the first layer, and another number of experts is no matter of rounding.
    """  # fmt: skip
    embedded = stretch.before is None and stretch.after.landmark.ours[0] != LOGITS
    seen = bool(ours.chosen) and len(ours.chosen) == len(theirs.chosen)
    return sources.routed and not seen and not embedded


def _too_coarse(allowed: float, dtype: str) -> str:
    return (
        f"nothing departs, but rounding to {dtype} moves logits so far that {allowed:.2g} of their spread is allowed:"
        " --dtype float32 decides"
    )  # fmt: skip


def _told(against: Against, measured: Sequence[Measured], met: str, layers: str) -> str:
    reference, last = against.reference, measured[-1]
    same_files = "" if against.twins else " (wrong values in its files are on both sides)"
    tighter = f"; --dtype float32 allows {EXACT:.2g}" if reference.narrow else ""
    return (
        f"{reference.name}{same_files}, {_plain(against.passed.dtype)}, logits differ by {last.distance:.2g} of their"
        f" spread (allowed {last.allowed:.2g}{tighter}), {met}{layers}"
    )


def _met(ours: States) -> str:
    """How many experts of all layers met a token, where these are not all: of the others nothing was seen."""
    every = sum(ours.values[spot].shape[-1] for spot in ours.chosen)
    met = sum(len(set(chosen.flatten().tolist())) for chosen in ours.chosen.values())
    return f"{met} of {every} experts met a token, " if met < every else ""


def _plain(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _layers(measured: Sequence[Measured], why_not: str) -> str:
    if why_not:
        return f"layers not compared ({why_not})"
    layers = [found for found in measured if found.landmark.layer is not None]
    agreeing = sum(found.agrees for found in layers)
    return f"{agreeing} of {len(layers)} layers agree"
