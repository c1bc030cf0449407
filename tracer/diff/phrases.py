"""Numbers and sets of names, as people say them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from mappings.names import blank, runs

_FEW = 4


def percent(ratio: float) -> str:
    """`0.81 %`, `6.1 %`, `120 %`."""
    if not math.isfinite(ratio):
        return "without bound (A is all zeros)"
    value = 100 * ratio
    if value >= 99.5:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if value >= 1e-3 or not value else f"{value:.1e} %"


def number(value: float) -> str:
    """`0.0312`, `2.4e-07`."""
    return f"{value:.3g}"


def middle(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return median(values) if values else math.nan


def listed(texts: Iterable[str]) -> str:
    """`q_proj and v_proj`; the first few of many."""
    found = list(dict.fromkeys(texts))
    if len(found) > _FEW:
        return f"{', '.join(found[: _FEW - 1])} and {len(found) - _FEW + 1} more"
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def module(name: str) -> str:
    """What people call a tensor: `q_proj` of `model.layers.0.self_attn.q_proj.weight`."""
    segments = [segment for segment in name.split(".") if not segment.isdigit()]
    return segments[-2] if len(segments) > 1 and segments[-1] in ("weight", "bias") else segments[-1]


def layer(name: str) -> int | None:
    """The first number in a name."""
    indices = blank(name)[1]
    return indices[0] if indices else None


def where(names: Sequence[str], everything: Iterable[str]) -> str:
    """`q_proj and v_proj of all 32 layers`, `layers 0..3`, or the names where they are few."""
    layers = {found for found in map(layer, names) if found is not None}
    known = {found for found in map(layer, everything) if found is not None}
    modules = sorted({module(name) for name in names})
    if len(names) <= 2:
        return listed(names)
    if not layers:
        return listed(modules)
    of = f"all {len(known)} layers" if layers == known and len(known) > 1 else f"layers {runs(layers)}"
    outside = sorted({module(name) for name in names if layer(name) is None})
    told = of if len(modules) - len(outside) > _FEW else f"{listed(m for m in modules if m not in outside)} of {of}"
    return f"{told}, and in {listed(outside)}" if outside else told
