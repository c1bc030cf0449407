"""What is to be generated, as plain values: how its parts are named, and what all processes of a job must be given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tracer.agreement import brief
from tracer.errors import InputError, UsageError

if TYPE_CHECKING:
    from engine.sampling.params import Sampling
    from tracer.prepare import Request

MOST = 4_000
"""Prompts that are compared one by one, as what is compared travels in one message."""


class Prompts(NamedTuple):
    """What is to be continued, and where a user finds it again."""

    given: Sequence[str | list[int]]
    places: Sequence[str]
    """Of each `FILE: line 3`; empty for one that stands on the command line."""

    def name(self, number: int) -> str:
        """Empty where there is but one, on the command line."""
        place = self.places[number]
        if place:
            return f"prompt {number} ({place})"
        return f"prompt {number}" if len(self.given) > 1 else ""

    def blame(self, number: int, reason: str) -> str:
        """What is wrong with one of them, as a line."""
        return ": ".join(part for part in (self.name(number), reason) if part)


class Wishes(NamedTuple):
    """Plain values for the engine's `Sampling` and `Settings`, by field; what is absent is theirs to decide."""

    sampling: Mapping[str, Any]
    settings: Mapping[str, Any]
    typed: Mapping[str, str] = {}
    """The options behind them as they were typed, `--top-p` and `0.9`."""

    def checked(self) -> Sampling:
        """Raises UsageError for what cannot be asked for, under the name that a user gave it."""
        from engine.sampling.params import Sampling, WrongSampling

        sampling = Sampling(**self.sampling)
        try:
            sampling.check()
        except WrongSampling as wrong:
            option = f"--{wrong.field.replace('_', '-')}"
            found, expected = self.typed.get(option, wrong.found), wrong.expected.removeprefix("None or ")
            raise UsageError(f"{option} {found}: expected {expected}") from wrong
        return sampling


class Asked(NamedTuple):
    """All of it."""

    request: Request
    prompts: Prompts
    wishes: Wishes

    def terms(self) -> dict[str, str]:
        """What another process of the same job must have been given too, by name: ready for JSON."""
        return {**self.wishes.typed, **dict(_told(self.prompts.given))}

    def check(self, agreed: Mapping[str, str]) -> None:
        """Raises InputError with the first thing that is not as rank 0 was given it."""
        own = self.terms()
        for name in [*agreed, *own]:
            expected, found = agreed.get(name) or "nothing", own.get(name) or "nothing"
            if expected != found:
                raise InputError(f"{name}: expected {expected}, as rank 0 was given, found {found}", subject=name)


def _told(prompts: Sequence[str | list[int]]) -> Iterator[tuple[str, str]]:
    yield "the number of prompts", str(len(prompts))
    if len(prompts) > MOST:
        yield "the prompts", brief(prompts)
        return
    for number, prompt in enumerate(prompts):
        yield f"prompt {number}", brief(prompt)


def shown(value: Any) -> str:
    """An option's value as a user would type it; empty where none was given."""
    if value is None or value is False:
        return ""
    if isinstance(value, float):
        return f"{value:.12g}"
    return "given" if value is True else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
