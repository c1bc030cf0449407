"""All that is recognised, the most particular first."""

from __future__ import annotations

from functools import cache

from tracer.complaints import of_python, of_torch, of_vllm, settings
from tracer.complaints.pattern import Pattern
from tracer.complaints.tracebacks import BEGINS

KEY = Pattern(
    r"(?:\bKeyError: |^)(?P<name>'[^'\s][^'\n]{0,1000}'|\"[^\"\s][^\"\n]{0,1000}\")\s*$",
    "no-parameter", "dict.__getitem__ of CPython; quoted alone in vllm#11010", needle="",
)  # fmt: skip
_IN_LOGS = (*of_vllm.PATTERNS, *of_torch.PATTERNS, *of_python.PATTERNS, KEY)
_EXCEPTIONS = ("Error", "Exception", BEGINS)


@cache
def patterns(*, pasted: bool) -> tuple[Pattern, ...]:
    """Those for a log; for what a person pasted also what people say of an output."""
    return _IN_LOGS


@cache
def needles() -> tuple[bytes, ...]:
    """What a line of a log must contain one of, to be looked at."""
    words = {pattern.needle for pattern in _IN_LOGS if pattern.needle}
    return tuple(word.encode() for word in sorted({*words, *_EXCEPTIONS, *settings.NEEDLES}))
