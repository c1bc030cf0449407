"""What speaks against a prompt, as far as it can be said without the model: config.json and a tokenizer are enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import TypeAlias

from engine.sampling.params import Sampling
from engine.text import Tokenizer

Given: TypeAlias = str | Sequence[int]
"""A prompt: text, where the checkpoint has a tokenizer, or ids."""


class Refused(ValueError):
    """What cannot be served: a prompt, or something that ranks were told differently; none of it has been begun."""


@contextmanager
def numbered(place: int, count: int) -> Iterator[None]:
    """Whatever is raised in here is true of prompt `place` of `count`: Refused says so, where there are several."""
    try:
        yield
    except ValueError as error:
        raise Refused(f"prompt {place}: {error}" if count > 1 else str(error)) from error


def ids_of(prompt: Given, tokenizer: Tokenizer | None, why_none: str) -> list[int]:
    """The ids of a prompt. Raises ValueError for text without a tokenizer, TypeError for no whole numbers."""
    if not isinstance(prompt, str):
        return [index(token) for token in prompt]
    if tokenizer is None:
        raise ValueError(f"a prompt of text needs a tokenizer, give ids instead: {why_none}")
    return tokenizer.encode(prompt)


def check_prompt(prompt: Sequence[int], sampling: Sampling, vocabulary: int, longest: int, texts: bool) -> None:
    """Raises ValueError. `longest`: ids that a sequence may have; `texts`: whether there is a tokenizer."""
    sampling.check()
    check_length(len(prompt), longest)
    for place, token in enumerate(prompt):
        if not 0 <= token < vocabulary:
            raise ValueError(f"id {token} at place {place} of the prompt: expected 0 to {vocabulary - 1}")
    if sampling.stop and not texts:
        raise ValueError("stop strings need a tokenizer, and there is none (stop_ids, from Python, need none)")


def check_length(prompt: int, longest: int) -> None:
    """Raises ValueError where a prompt of so many ids has no place in a sequence of at most `longest`."""
    if prompt < 1:
        raise ValueError("empty prompt: expected at least one id")
    if prompt >= longest:
        raise ValueError(f"prompt of {prompt} ids: the longest sequence has {longest}, generated ones included")
