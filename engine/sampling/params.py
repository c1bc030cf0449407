"""How a sequence is to be continued: what a user may ask of one request."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SEEDS = 1 << 64
"""How many there are."""


class WrongSampling(ValueError):
    """A field of `Sampling` holds what cannot be asked for."""

    def __init__(self, field: str, expected: str, found: object) -> None:
        super().__init__(field, expected, found)
        self.field, self.expected, self.found = field, expected, found

    def __str__(self) -> str:
        return f"sampling: {self.field}: expected {self.expected}, found {self.found!r}"


@dataclass(frozen=True, slots=True)
class Sampling:
    """The defaults are greedy. Nothing is checked until `check` is called."""

    temperature: float = 0.0
    """The logits are divided by it; 0 takes the likeliest id."""
    top_k: int = 0
    """Only so many of the likeliest ids are drawn from; 0 for all."""
    top_p: float = 1.0
    """Only the likeliest ids that together have this probability are drawn from (Holtzman et al., arXiv 1904.09751)."""
    min_p: float = 0.0
    """Only ids that are at least this many times as likely as the likeliest (Nguyen et al., arXiv 2407.01082)."""
    seed: int | None = None
    """Of this request's own draws; None for another one every time."""
    stop: tuple[str, ...] = ()
    """Texts that end it; they are found by whoever makes text of the ids."""
    stop_ids: tuple[int, ...] = ()
    """Ids that end it, whatever `ignore_eos` says."""
    max_tokens: int = 16
    ignore_eos: bool = False
    logprobs: int | None = None
    """How many of the likeliest ids are told beside the chosen one; None: no log-probabilities at all."""

    def check(self) -> None:
        """Raises WrongSampling with the field, what was expected there, and what was found."""
        for field, expected, holds in _RULES:
            found = getattr(self, field)
            if not holds(found):
                raise WrongSampling(field, expected, found)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all_of(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple) and all(holds(item) for item in value)


_RULES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("temperature", "a finite number from 0 on", lambda v: _number(v) and 0 <= v < math.inf),
    ("top_k", "a whole number from 0 on", lambda v: _whole(v) and v >= 0),
    ("top_p", "a number above 0 and at most 1", lambda v: _number(v) and 0 < v <= 1),
    ("min_p", "a number from 0 to 1", lambda v: _number(v) and 0 <= v <= 1),
    ("seed", f"None or a whole number from 0 to {SEEDS - 1}", lambda v: v is None or (_whole(v) and 0 <= v < SEEDS)),
    ("stop", "a tuple of texts, none of them empty", lambda v: _all_of(v, lambda s: isinstance(s, str) and s != "")),
    ("stop_ids", "a tuple of whole numbers from 0 on", lambda v: _all_of(v, lambda i: _whole(i) and i >= 0)),
    ("max_tokens", "a whole number from 1 on", lambda v: _whole(v) and v >= 1),
    ("ignore_eos", "True or False", lambda v: isinstance(v, bool)),
    ("logprobs", "None or a whole number from 0 on", lambda v: v is None or (_whole(v) and v >= 0)),
)
