"""What a stretch that departs from the reference is reported as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mappings.findings import Finding
from tracer.execute.verify.bisection import Stretch
from tracer.execute.verify.configs import Field
from tracer.execute.verify.landmarks import Measured
from tracer.execute.verify.passed import Passed
from tracer.execute.verify.reference import Reference
from tracer.execute.verify.sources import Sources
from tracer.execute.verify.suspects import Suspects
from tracer.execute.verify.twins import Compared, Twins, rounded, sound, told


class Against(NamedTuple):
    """What a load is compared with, and what it was made of."""

    reference: Reference
    sources: Sources
    passed: Passed
    fields: Sequence[Field] = ()
    """Of the config that are others there."""
    twins: Twins | None = None
    """The tensors there; None where they are the very same files."""


def departure(against: Against, stretch: Stretch, measured: Sequence[Measured]) -> Finding:
    """The error that names it, and whether its tensors are other ones there."""
    sources, params, twins = against.sources, stretch.suspects.params, against.twins
    names = dict.fromkeys(name for param in params for name in sources.tensors(param))
    compared = twins.compare(names) if twins else {}
    doubt = told(compared, twins.folder, bool(against.fields)) if twins and names else ""
    evidence = {
        "reference": against.reference.name, "dtype": against.passed.dtype, "ids": list(against.passed.ids),
        "layer": stretch.after.landmark.layer,
        "departing": first.landmark.told if (first := stretch.suspects.departing) else stretch.after.landmark.told,
        "parameters": sources.evidence(params),
        "tensors": {name: one.told for name, one in compared.items()},
        "distances": {found.landmark.told: found.distance for found in (*measured, *stretch.after.inner)},
        "allowed": {found.landmark.told: found.allowed for found in (*measured, *stretch.after.inner)},
    }  # fmt: skip
    return Finding(
        "verify.reference-differs", "error", _subject(stretch),
        _message(stretch, against.reference, sources) + doubt, evidence,
        _fix(params, compared, bool(against.fields)),
    )  # fmt: skip


def _fix(params: Sequence[str], compared: Mapping[str, Compared], config_differs: bool) -> str | None:
    """None where nothing speaks against the parameters."""
    if not params or (config_differs and sound(compared)):
        return None
    if narrow := rounded(compared):
        return f"--dtype {narrow} rounds the reference as well"
    return f"look at what fills them: --param '{params[0]}'"


def _subject(stretch: Stretch) -> str:
    """Something that can be searched for."""
    landmark = stretch.after.landmark
    params = stretch.suspects.params
    return params[0].rpartition(".")[0] if params and landmark.layer is None else landmark.ours[0].strip("()")


def _message(stretch: Stretch, reference: Reference, sources: Sources) -> str:
    before, after = stretch.before, stretch.after
    layer = after.landmark.layer
    if layer is not None and before is not None:
        text = f"layer {layer} ({after.landmark.ours[0]}) departs from {reference.name}: its input agrees to"
        text += f" {before.distance:.2g}, its output {_away(after)}"
        return text + _inside(stretch.suspects) + _parameters(stretch.suspects, sources)
    text = f"{after.landmark.told} departs from {reference.name}: it {_away(after)}"
    text += f"; {before.landmark.told} agrees to {before.distance:.2g}" if before else ""
    return text + _parameters(stretch.suspects, sources)


def _away(found: Measured) -> str:
    how = "agrees to" if found.near else "differs by"
    return f"{how} {found.distance:.2g} (allowed {found.allowed:.2g})"


def _inside(found: Suspects) -> str:
    """What narrows a layer down."""
    last, first = found.agreeing, found.departing
    text = [f"{last.landmark.told} agrees to {last.distance:.2g}"] if last else []
    text += [f"{first.landmark.told} differs by {first.distance:.2g}"] if first else []
    return f"; within it {', '.join(text)}" if text else ""


def _parameters(found: Suspects, sources: Sources) -> str:
    return f"; parameters: {sources.told(found.params)}" if found.params else ""
