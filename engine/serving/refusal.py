"""What speaks against a prompt, as far as it can be said without the model: config.json and a tokenizer are enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from operator import index
from reprlib import repr as shortly
from typing import TypeAlias

from engine.sampling.params import Sampling
from engine.text import Tokenizer

Given: TypeAlias = str | Sequence[int]
"""A prompt: text, where the checkpoint has a tokenizer, or ids."""


class Refused(ValueError):
    """What cannot be served: a prompt, or something that ranks were told differently; none of it has been begun."""

    place: int | None = None
    """Which of the prompts it is, counted from 0; None where it is none of them."""
    reason: str = ""
    """What is wrong with that prompt, without its number."""


@contextmanager
def numbered(place: int, count: int) -> Iterator[None]:
    """Whatever is raised in here is true of prompt `place` of `count`: Refused or TypeError says so, if of several."""
    number = f"prompt {place}: " if count > 1 else ""
    try:
        yield
    except ValueError as error:
        refused = Refused(f"{number}{error}")
        refused.place, refused.reason = place, str(error)
        raise refused from error
    except TypeError as error:
        raise TypeError(f"{number}{error}") from error


def ids_of(prompt: Given, tokenizer: Tokenizer | None, why_none: str) -> list[int]:
    """The ids of a prompt. Raises ValueError for text without a tokenizer, TypeError for neither text nor ids."""
    if not isinstance(prompt, str):
        return [_id(place, token) for place, token in enumerate(items(prompt, "a text or a list of ids"))]
    if tokenizer is None:
        raise ValueError(f"a prompt of text needs a tokenizer, give ids instead: {why_none}")
    return tokenizer.encode(prompt)


def items(given: object, expected: str) -> list[object]:
    """What stands in a list, an array or a tensor. Raises TypeError for what is none, or has no order."""
    if hasattr(given, "tolist"):  # of numpy and torch, and much faster there than one by one
        given = given.tolist()
    if isinstance(given, str | bytes | bytearray | Mapping | AbstractSet) or not isinstance(given, Iterable):
        raise TypeError(f"expected {expected}, found {told(given)}")
    return list(given)


def _id(place: int, token: object) -> int:
    try:
        if isinstance(token, bool):
            raise TypeError
        return index(token)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"place {place} of the prompt: expected an id, a whole number, found {told(token)}") from None


def told(found: object) -> str:
    """A value that is not what was expected, short and in one line: `str 'x'`."""
    return "None" if found is None else f"{type(found).__name__} {' '.join(shortly(found).split())}"


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
