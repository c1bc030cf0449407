"""Which cause is told first: the one that was complained of, then the worst, damage before what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tracer.complaints.complaint import Complaint
from tracer.diagnose.answers import Answer, answer
from tracer.diagnose.cause import Cause
from tracer.diagnose.weight import weight_of

_SEVERITIES = ("error", "warning", "info")
_STAGES = (
    "file", "header", "pickle", "index", "shards", "trainer", "adapter", "arch", "name", "config", "vocab", "tie",
    "experts", "layers", "fused", "quant", "shape", "tp", "tensor", "param", "layout", "value",
)  # fmt: skip
"""Families of codes in the order in which one leads to the next."""
_DAMAGE = ("file", "header", "pickle", "index", "shards")


def ranked(causes: Iterable[Cause], complaints: Sequence[Complaint]) -> list[Cause]:
    """The verdict first. Each cause gets the complaints that it answers, the most causal of them first."""
    answered = [(cause, [answer(cause, complaint) for complaint in complaints]) for cause in causes]
    placed = sorted(
        ((_key(cause, answers), _with(cause, complaints, answers)) for cause, answers in answered),
        key=lambda pair: pair[0],
    )  # fmt: skip
    return [cause for _, cause in placed]


def _with(cause: Cause, complaints: Sequence[Complaint], answers: Sequence[Answer]) -> Cause:
    mine = tuple(each for each, how in zip(complaints, answers, strict=True) if how)
    return replace(cause, answers=mine if cause.finding.severity != "info" or Answer.SURE in answers else ())


def _key(cause: Cause, answers: Sequence[Answer]) -> tuple[int, ...]:
    family = cause.finding.code.partition(".")[0]
    severity = _SEVERITIES.index(cause.finding.severity)
    first = answers[0] if answers else Answer.NO
    best = max(answers, default=Answer.NO)
    told = first if first is Answer.SURE or severity < _SEVERITIES.index("info") else Answer.NO
    heard = best if best is Answer.SURE or severity < _SEVERITIES.index("info") else Answer.NO
    damage = family in _DAMAGE and severity == 0
    stage = _STAGES.index(family) if family in _STAGES else len(_STAGES)
    return -told, -heard, severity, not damage, -sum(map(weight_of, cause.explains)), stage
