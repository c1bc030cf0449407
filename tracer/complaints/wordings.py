"""All that is recognised, the most particular first."""

from __future__ import annotations

import re
from functools import cache

from tracer.complaints import (
    of_adapters,
    of_llama_cpp,
    of_others,
    of_parallel,
    of_people,
    of_python,
    of_safetensors,
    of_tgi,
    of_torch,
    of_transformers,
    of_vllm,
    settings,
)  # fmt: skip
from tracer.complaints.of_python import KEY, LONE_KEY
from tracer.complaints.pattern import Pattern
from tracer.complaints.tracebacks import BEGINS

_ALL = (
    *of_adapters.PATTERNS, *of_transformers.PATTERNS, *of_torch.PATTERNS, *of_safetensors.PATTERNS,
    *of_vllm.PATTERNS, *of_tgi.PATTERNS, *of_llama_cpp.PATTERNS, *of_others.PATTERNS, *of_parallel.PATTERNS,
    *of_python.PATTERNS,
)  # fmt: skip
_IN_LOGS = (*(pattern for pattern in _ALL if not pattern.pasted), KEY)
_PASTED = (*_ALL, KEY, LONE_KEY)
_EXCEPTIONS = ("Error", "Exception", BEGINS)

ECHO = re.compile(
    r"Worker failed with error ['\"](?P<one>[^\n]{1,2000}?)['\"], please check the stack trace"
    r"|while processing method \w{1,60}: (?P<other>[^\n]{1,2000}?), $"
)
"""How vLLM's leader repeats what a worker said: MultiprocExecutor, before 0.8 its worker process itself."""
ECHO_NEEDLE = "orker"
QUOTES_A_REQUEST = ("Received request", "Added request", "prompt: '", 'prompt: "', "Generated text", "generated text")
"""Lines of a log that repeat what a user wrote, which may be anything."""


@cache
def patterns(*, pasted: bool) -> tuple[Pattern, ...]:
    """Those for a log; or for what a person pasted, which may be shortened."""
    return _PASTED if pasted else _IN_LOGS


@cache
def by_people() -> tuple[Pattern, ...]:
    """What people say of an output: only where no program's words were recognised."""
    return of_people.PATTERNS


@cache
def needles() -> tuple[bytes, ...]:
    """What a line of a log must contain one of, to be looked at."""
    words = {word for pattern in _IN_LOGS for word in pattern.needles} | {*_EXCEPTIONS, *settings.NEEDLES}
    shortest = (word for word in words if not any(other in word and other != word for other in words))
    return tuple(word.encode() for word in sorted(shortest))
