"""A comparison as JSON Lines: the verdict, then one record a difference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tracer.diff.compared import Comparison, Pair
from tracer.diff.weights import Weight
from tracer.events import finite


def record(kind: str, **values: Any) -> str:
    return json.dumps(finite({"kind": kind} | values), allow_nan=False)


def records(comparison: Comparison, sentence: str) -> Iterator[str]:
    """`verdict`, edits of names, one `difference` for each tensor or field that differs in any way."""
    counts = {
        "a": len(comparison.a.checkpoint.names), "b": len(comparison.b.checkpoint.names),
        "paired": len(comparison.pairs), "compared": len(comparison.compared),
        "equal": len(comparison.valued("equal")), "differing": len(comparison.differing),
        "only_a": len(comparison.pairing.only_a), "only_b": len(comparison.pairing.only_b),
    }  # fmt: skip
    same = comparison.same and comparison.complete
    yield record("verdict", same=same, values=comparison.with_values, sentence=sentence, tensors=counts)
    for renamed in comparison.pairing.renamed:
        rewrite = renamed.rewrite
        yield record("difference", what="names", of=renamed.of, where=rewrite.edit.where, pairs=rewrite.edit.pairs,
                     edit=str(rewrite.edit), mapped=rewrite.mapped, total=rewrite.total,
                     collisions=rewrite.collisions)  # fmt: skip
    for pair in comparison.pairs:
        if _differs(pair):
            yield record("difference", what=_what(pair), **_pair(pair))
    for side, weights in (("A", comparison.pairing.only_a), ("B", comparison.pairing.only_b)):
        for weight in weights:
            held = {side.lower(): _kept(weight)}
            yield record("difference", what=f"only-{side.lower()}", subject=weight.name, **held)
    for tie in comparison.ties:
        yield record("tie", **asdict(tie))
    for file in comparison.files:
        if file.equal is not True:
            yield record("difference", what="file", subject=file.a, a=file.a, b=file.b,
                         unchecked=file.why if file.equal is None else None, detail=file.why)  # fmt: skip
    for field in comparison.fields:
        what = "config-idle" if field.idle else "config"
        yield record("difference", what=what, subject=field.path, a=field.a, b=field.b, absent=field.absent or None)


def _differs(pair: Pair) -> bool:
    unequal = pair.valued is not None and pair.valued.relation != "equal"
    return pair.how != "name" or pair.resized or pair.retyped or unequal or bool(pair.unchecked)


def _what(pair: Pair) -> str:
    """The plainest thing that differs."""
    if pair.how in ("fused", "stacked"):
        return pair.how
    if pair.resized:
        return "shape"
    if pair.valued is not None and pair.valued.relation != "equal":
        return "value"
    if pair.retyped:
        return "dtype"
    return "name" if pair.how != "name" else "not-checked"


def _pair(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = {
        "subject": pair.subject, "a": [_kept(weight) for weight in pair.a], "b": [_kept(weight) for weight in pair.b],
        "unchecked": pair.unchecked or None,
    }  # fmt: skip
    if pair.valued:
        found |= {"relation": pair.valued.relation, "detail": pair.valued.detail or None,
                  "rounded": pair.valued.rounded or None}  # fmt: skip
        found["distance"] = asdict(pair.valued.distance) if pair.valued.distance else None
        found["rank"] = asdict(pair.valued.rank) if pair.valued.rank else None
    return found


def _kept(weight: Weight) -> dict[str, Any]:
    files = sorted({info.file for info in weight.members.values() if info.file})
    return {"name": weight.name, "shape": weight.shape, "kept_as": weight.kind, "files": files}
