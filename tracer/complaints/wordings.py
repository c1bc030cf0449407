"""All that is recognised, the most particular first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from tracer.complaints import (
    of_adapters,
    of_llama_cpp,
    of_others,
    of_parallel,
    of_people,
    of_python,
    of_safetensors,
    of_surroundings,
    of_tgi,
    of_torch,
    of_transformers,
    of_vllm,
    settings,
)  # fmt: skip
from tracer.complaints.complaint import Complaint
from tracer.complaints.of_python import KEY, LONE_KEY
from tracer.complaints.pattern import Pattern
from tracer.complaints.tracebacks import BEGINS

ALL = (
    *of_adapters.PATTERNS, *of_transformers.PATTERNS, *of_torch.PATTERNS, *of_safetensors.PATTERNS,
    *of_vllm.PATTERNS, *of_tgi.PATTERNS, *of_llama_cpp.PATTERNS, *of_others.PATTERNS, *of_parallel.PATTERNS,
    *of_python.PATTERNS, *of_surroundings.PATTERNS,
)  # fmt: skip
_IN_LOGS = (*(pattern for pattern in ALL if not pattern.pasted), KEY)
_PASTED = (*ALL, KEY, LONE_KEY)
_EXCEPTIONS = ("Error", "Exception", BEGINS)

ECHO = re.compile(
    r"Worker failed with error ['\"](?P<one>[^\n]{1,2000}?)['\"], please check the stack trace"
    r"|while processing method \w{1,60}: (?P<other>[^\n]{1,2000}?), $"
)
"""How vLLM's leader repeats what a worker said: MultiprocExecutor, before 0.8 its worker process itself."""
ECHO_NEEDLE = "orker"
QUOTES_A_REQUEST = ("Received request", "Added request", "prompt: '", 'prompt: "', "Generated text", "generated text")
"""Lines of a log that repeat what a user wrote, which may be anything."""


_REMEMBERED = 1_000
"""Characters of a line that is remembered."""


class Wordings:
    """Sentences, and what of them a text can say at all: a text is searched for some hundred words in microseconds."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._exactly = [(word, each) for each in patterns if not each.ignore_case for word in each.needles]
        self._in_any_case = [(word, each) for each in patterns if each.ignore_case for word in each.needles]
        self._order = {each.says: place for place, each in enumerate(patterns)}
        self._remembered = lru_cache(maxsize=2_048)(self._read)

    def read(self, text: str) -> tuple[tuple[Pattern, Complaint], ...]:
        """What a text complains of, in the order of its places.

        What one pattern has read, a later and wider one does not. Lines are remembered: a failing server says the same
        ones again and again.
        """
        return self._remembered(text) if len(text) < _REMEMBERED else self._read(text)

    def _read(self, text: str) -> tuple[tuple[Pattern, Complaint], ...]:
        taken: list[tuple[int, int, Pattern, Complaint]] = []
        for pattern in self.possible(text):
            for match in pattern.matches(text):
                start, end = match.span()
                if all(end <= first or start >= last for first, last, _, _ in taken):
                    taken.append((start, end, pattern, pattern.read(match)))
        return tuple((pattern, complaint) for _, _, pattern, complaint in sorted(taken, key=lambda each: each[0]))

    def possible(self, text: str) -> list[Pattern]:
        """Those worth trying, the most particular first; right about all that it leaves out."""
        found = [each for word, each in self._exactly if word in text]
        if self._in_any_case:
            lower = text.lower()
            found += [each for word, each in self._in_any_case if word in lower]
        if len(found) < 2:
            return found
        return sorted({each.says: each for each in found}.values(), key=lambda each: self._order[each.says])


@cache
def wordings(*, pasted: bool) -> Wordings:
    """Those for a log; or for what a person pasted, which may be shortened."""
    return Wordings(_PASTED if pasted else _IN_LOGS)


@cache
def by_people() -> Wordings:
    """What people say of an output: only where no program's words were recognised."""
    return Wordings(of_people.PATTERNS)


@cache
def needles() -> tuple[bytes, ...]:
    """What a line of a log must contain one of, to be looked at."""
    words = {word for pattern in _IN_LOGS for word in pattern.needles} | {*_EXCEPTIONS, *settings.NEEDLES}
    shortest = (word for word in words if not any(other in word and other != word for other in words))
    return tuple(word.encode() for word in sorted(shortest))
