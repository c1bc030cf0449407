"""config.conflict: rope_theta against what the checkpoint testifies: `inv_freq` buffers, or GGUF's own keys.

Buffers are recomputed by every engine and never loaded; they are what the model was trained with all the same. The
statistic is the base that their logarithms lie on in a line, inv_freq[i] = base ** (-2 i / dim), against config.json's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np

from mappings.findings import Finding
from mappings.names import collapse
from tracer.checkpoint.formats import GGUF
from tracer.infer.canonical import NESTED
from tracer.meaning.material import Material, Numbers, Part
from tracer.meaning.meant import Meant, fine, found, measured, not_checked
from tracer.repair.changes import SetField

NAME = "rope-theta"
APART = 0.02
"""Relative difference of two bases that rounding does not explain, for buffers in bfloat16 either."""
_LINE = 0.02
"""How far a logarithm may be from the line."""
_DEFAULT = 10_000.0
"""What every class takes where config.json is silent, and what buffers keep of it when config.json is edited later."""
_FEWEST = 4
_MOST = 1e300
"""JSON has no largest number, and floats have."""
_SCALED = {"linear", "llama3", "yarn", "longrope", "su", "dynamic", "proportional"}


@dataclass(frozen=True, slots=True)
class Said:
    """A base in config.json."""

    field: str
    theta: float
    scaling: str
    factor: float


def examine(material: Material) -> Meant:
    said = list(_said(material.config))
    if material.checkpoint.format is GGUF:
        return _of_keys(material, said)
    buffers = material.buffers("inv_freq")
    if not buffers:
        return fine(NAME, "", "no inv_freq is stored that could testify to rope_theta")
    if len(said) != 1:
        return not_checked(NAME, "config.json has several bases" if said else "config.json has no rope_theta")
    values = [material.read(part).ravel().astype(np.float64) for part in buffers]
    if any(not _is_frequencies(each) for each in values) or any(each.shape != values[0].shape for each in values):
        return not_checked(NAME, "the stored inv_freq are no falling frequencies, or not all alike")
    bases = [_base(each) for each in values]
    if any(base is None for base in bases):
        return not_checked(NAME, "the stored inv_freq lie on no line: they are of no single base")
    return _compared([base for base in bases if base is not None], said[0], buffers, values[0])


def _compared(bases: list[float], said: Said, buffers: list[Part], first: Numbers) -> Meant:
    worst = max(bases, key=lambda base: abs(log(base / said.theta)))
    told = f"{len(bases)} inv_freq imply a base of {_rounded(worst):,.10g}, {said.field} is {said.theta:,.10g}"
    apart = abs(worst / said.theta - 1)
    if apart <= APART:
        beginning = float(first[0])
        if said.scaling == "linear" and abs(beginning * said.factor - 1) > APART and abs(beginning - 1) > APART:
            return not_checked(NAME, f"{told}; they begin with {beginning:.4g}, which is no scaling by {said.factor:g}")
        return fine(NAME, told)
    if said.scaling in _SCALED and said.scaling != "linear":
        return not_checked(NAME, f"{told}, scaled as {said.scaling}: whether they are scaled too is not known")
    stale = abs(worst / _DEFAULT - 1) <= APART
    why = "the buffers may be older than that" if stale else "the model was computed with the buffers' base"
    names = ", ".join(text for text, _ in collapse([part.name for part in buffers]))
    evidence = measured("relative difference of the bases", apart, APART, len(bases), "buffers",
                        config=said.theta, inferred=_rounded(worst), field=said.field)  # fmt: skip
    message = f"{names}: {told}: one of the two is wrong; {why}"
    finding = Finding(
        "config.conflict", "warning" if stale else "error", said.field, message, evidence,
        f"set {said.field} to {_rounded(worst):.10g}",
    )  # fmt: skip
    return found(NAME, told, finding, SetField(said.field, _whole(_rounded(worst))))


def _said(config: Mapping[str, Any]) -> Iterator[Said]:
    """Of the decoder of text: at the top, nested, or below `rope_parameters` as Transformers 5 writes it."""
    inner = [(f"{key}.", config[key]) for key in NESTED if isinstance(config.get(key), dict)]
    for prefix, part in inner or [("", config)]:
        below = part.get("rope_parameters")
        if isinstance(below, dict):
            groups = {k: v for k, v in below.items() if isinstance(v, dict)} or {"": below}
            for key, held in groups.items():
                at = f"{prefix}rope_parameters." + (f"{key}." if key else "")
                yield from _one(at, held, held)
            if any(True for held in groups.values() for _ in _one("", held, held)):
                continue
        scaling = part.get("rope_scaling")
        yield from _one(prefix, part, scaling if isinstance(scaling, dict) else {})


def _one(prefix: str, held: Mapping[str, Any], scaling: Mapping[str, Any]) -> Iterator[Said]:
    theta = held.get("rope_theta", held.get("rotary_emb_base"))
    if isinstance(theta, int | float) and not isinstance(theta, bool) and 1 < theta < _MOST:
        kind, factor = scaling.get("rope_type", scaling.get("type", "default")), scaling.get("factor", 1.0)
        named = "rope_theta" if "rope_theta" in held else "rotary_emb_base"
        number = float(factor) if isinstance(factor, int | float) and abs(factor) < _MOST else 1.0
        yield Said(f"{prefix}{named}", float(theta), kind if isinstance(kind, str) else "default", number)


def _is_frequencies(values: Numbers) -> bool:
    return len(values) >= _FEWEST and bool((values > 0).all() and (np.diff(values) < 0).all())


def _base(values: Numbers) -> float | None:
    """The base of frequencies that fall by one factor; None where they do not."""
    logs, steps = np.log(values), np.arange(len(values))
    slope, beginning = np.polyfit(steps, logs, 1)
    if np.abs(logs - beginning - slope * steps).max() > _LINE:
        return None
    exponent = -slope * len(values)
    return exp(exponent) if exponent < 100 else None


def _rounded(base: float) -> float:
    """The round number that is meant, where one is within reach: 1,000,000 for 1,000,213."""
    for digits in range(1, 5):
        number = float(f"{base:.{digits - 1}e}")
        if abs(number / base - 1) < APART / 4:
            return number
    return float(f"{base:.4e}")


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number


# --- GGUF ---


def _of_keys(material: Material, said: list[Said]) -> Meant:
    """A config.json beside the file, against the file's own key."""
    told = {key: value for file in material.checkpoint.metadata.values() for key, value in file.items()}
    key = f"{told.get('general.architecture')}.rope.freq_base"
    if key not in told or not material.checkpoint.files.has("config.json"):
        return fine(NAME, "", "there is no config.json beside the file that its own base could contradict")
    try:
        own = float(told[key])
    except ValueError:
        return not_checked(NAME, f"{key} is no number")
    if len(said) != 1 or not 1 < own < _MOST:
        return not_checked(NAME, "config.json has no single rope_theta")
    apart = abs(own / said[0].theta - 1)
    line = f"{key} is {own:,.10g}, config.json's {said[0].field} is {said[0].theta:,.10g}"
    if apart <= APART:
        return fine(NAME, line)
    evidence = measured("relative difference of the bases", apart, APART, 1, "keys", config=said[0].theta, inferred=own)
    finding = Finding(
        "config.conflict",
        "error",
        said[0].field,
        f"{line}: one of the two is wrong",
        evidence,
        f"set {said[0].field} to {own:.10g}",
    )
    return found(NAME, line, finding, SetField(said[0].field, _whole(own)))
