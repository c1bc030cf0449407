"""What a starter can do and what it cannot, in lines and as records."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tracer.starter import Starter

_SHOWN = 6


def summary(starter: Starter) -> Iterator[str]:
    """How far the rows reach, what stands against them, and what they leave to do."""
    draft = starter.draft
    like = f" like {draft.like}" if draft.like else ""
    counts = f"{len(draft.rows)} rows, {len(draft.params)} new parameters, {len(draft.removes)} rows removed"
    skipped = f", {len(draft.skips)} skips" if draft.skips else ""
    yield f"{draft.architecture}{like}: {starter.claimed} of {starter.total} names are claimed; {counts}{skipped}"
    for finding in starter.trial.errors[:_SHOWN]:
        yield f"not proved: {finding.code}  {finding.message}"
    if len(starter.trial.errors) > _SHOWN:
        yield f"not proved: {len(starter.trial.errors) - _SHOWN} findings more"
    for subject, why in draft.todo[:_SHOWN]:
        yield f"TODO {subject}: {why}"
    yield f"{len(draft.todo)} TODO, {len(draft.assumed)} assumed" + (f"; {draft.assumed[0]}" if draft.assumed else "")
    yield from starter.limits


def proved(starter: Starter) -> str:
    """What the proofs have against the file, in a clause."""
    if starter.loads:
        return "and every proof holds"
    if not starter.trial.errors:
        return "and the others have no row"
    first, *others = starter.trial.errors
    more = f", and {len(others)} more" if others else ""
    return f"but it does not load: {first.code}  {first.message}{more}"


def records(starter: Starter) -> Iterator[str]:
    """JSON Lines: one `starter`, then one line an entry of the file, then what is left to do."""
    draft, trial = starter.draft, starter.trial
    yield json.dumps({
        "kind": "starter", "architecture": draft.architecture, "like": draft.like, "claimed": starter.claimed,
        "names": starter.total, "loads": starter.loads, "left": list(starter.left), "assumed": draft.assumed,
        "limits": list(starter.limits), "text": starter.text,
    })  # fmt: skip
    for row in draft.rows:
        yield json.dumps({"kind": "row", **row.fields(), "why": row.why})
    for param in draft.params:
        yield json.dumps({"kind": "param", **param.fields(), "why": param.why})
    for name, why in draft.removes:
        yield json.dumps({"kind": "remove", "name": name, "why": why})
    for name, why in draft.skips:
        yield json.dumps({"kind": "skip", "name": name, "why": why})
    for subject, why in draft.todo:
        yield json.dumps({"kind": "todo", "subject": subject, "why": why})
    for finding in trial.errors:
        yield json.dumps({"kind": "finding", "code": finding.code, "severity": finding.severity,
                          "subject": finding.subject, "message": finding.message})  # fmt: skip
