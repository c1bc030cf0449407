"""Regions that no tensor feeds hold the constant that the rule names, and no other region does."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from mappings.plan import LoadPlan
from mappings.views import Ranges
from tracer.audit.coverage import show
from tracer.audit.drafts import Draft
from tracer.events import ranges_to_json
from tracer.store import Store


class Filled(NamedTuple):
    """One region of a parameter and its constant."""

    param: str
    dst: Ranges
    value: float


def audit_fills(store: Store, plan: LoadPlan, rank: int) -> list[Draft]:
    """Drafts `audit.overwritten` for a fill that no rule asks for, `audit.unwritten` for one that did not happen."""
    observed = Counter(Filled(pad.param, pad.dst, float(pad.value)) for pad in store.pads(rank))
    planned = Counter(
        Filled(name, ranges, pad.value) for pad, name in plan.pads(rank) for ranges in plan.ranges(pad)
    )  # fmt: skip
    extra, lacking = observed - planned, planned - observed
    drafts = [_draft("audit.overwritten", "was filled with {:g}, which no rule asks for", f, rank) for f in extra]
    return drafts + [_draft("audit.unwritten", "was not filled with {:g}", f, rank) for f in lacking]


def _draft(code: str, said: str, filled: Filled, rank: int) -> Draft:
    text = f"{{}} {show(filled.dst)} {said.format(filled.value)}"
    return Draft(code, filled.param, text, rank, {"ranges": [ranges_to_json(filled.dst)], "value": filled.value})
