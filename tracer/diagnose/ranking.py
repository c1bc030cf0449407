"""Which cause is told first: the one that was complained of, then the worst, damage before what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tracer.complaints.complaint import Complaint
from tracer.diagnose.answers import Answer, Words, answer
from tracer.diagnose.cause import Cause
from tracer.diagnose.weight import weight_of

_SEVERITIES = ("error", "warning", "info")
_STAGES = (
    "file", "header", "pickle", "index", "shards", "trainer", "adapter", "arch", "name", "config", "vocab", "tie",
    "experts", "layers", "fused", "quant", "shape", "tp", "tensor", "param", "layout", "value",
)  # fmt: skip
"""Families of codes in the order in which one leads to the next."""
_COMPARED = 500
"""Causes of one code that are held against each complaint: there may be 2,000 of these, and 90,000 of those."""
_DAMAGE = ("file", "header", "pickle", "index", "shards")


def ranked(causes: Iterable[Cause], complaints: Sequence[Complaint]) -> list[Cause]:
    """The verdict first. Each cause gets the complaints that it answers, the most causal of them first."""
    answered = _answered(causes, complaints)
    placed = sorted(
        ((_key(cause, answers), _with(cause, complaints, answers)) for cause, answers in answered),
        key=lambda pair: pair[0],
    )  # fmt: skip
    return [cause for _, cause in placed]


def _answered(
    causes: Iterable[Cause], complaints: Sequence[Complaint]
) -> Iterator[tuple[Cause, Sequence[Answer]]]:  # fmt: skip
    """What each cause is to each complaint; of many of one code the later ones only where the words name them."""
    words, whole = [Words(each) for each in complaints], Words(*complaints)
    seen: Counter[str] = Counter()
    nothing = [Answer.NO] * len(complaints)
    for cause in causes:
        seen[cause.finding.code] += 1
        if seen[cause.finding.code] <= _COMPARED or cause.answers or whole.name(cause):
            yield cause, [answer(cause, *pair) for pair in zip(complaints, words, strict=True)]
        else:
            yield cause, nothing


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
