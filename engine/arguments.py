"""What callers of `LLM` gave, looked at before anything is made of it: one line names the argument and what it is.

TypeError where a value is of another type than was expected, ValueError where only the value is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.sampling.params import Sampling
from engine.serving.refusal import Given, items, told

if TYPE_CHECKING:
    from engine.serving.serve import Settings

PROMPTS = "a list of prompts, each a text or a list of ids"


def check_made(model: object, tp: object, settings: object) -> None:
    """The arguments of `LLM()`. Raises TypeError, ValueError."""
    from engine.serving.serve import Settings

    if not isinstance(model, str | Path) and not callable(model):
        raise TypeError(f"model: expected a name, a Path or a function that opens a checkpoint, found {told(model)}")
    if not _whole(tp):
        raise TypeError(f"tp: expected a whole number, found {told(tp)}")
    if model == "":
        raise ValueError("model: expected a name, found an empty one")
    if settings is None:
        return
    if not isinstance(settings, Settings):
        raise TypeError(f"settings: expected Settings(...), found {told(settings)}")
    _check_settings(settings)


def _check_settings(settings: Settings) -> None:
    for field, kinds, expected, holds in _RULES:
        found = getattr(settings, field)
        if type(found) not in kinds:
            raise TypeError(f"settings: {field}: expected {expected}, found {told(found)}")
        if not holds(found):
            raise ValueError(f"settings: {field}: expected {expected}, found {found!r}")


def prompts_of(given: object) -> list[Given]:
    """The prompts of a call: a list of them, or anything that has them in an order. Raises TypeError, ValueError."""
    if isinstance(given, str):
        raise ValueError(f"prompts: expected {PROMPTS}; found a prompt alone")
    try:
        prompts: list[Any] = items(given, PROMPTS)
    except TypeError as error:
        raise TypeError(f"prompts: {error}") from None
    if prompts and all(_whole(prompt) for prompt in prompts):
        raise ValueError(f"prompts: expected {PROMPTS}; found a prompt alone")
    return prompts


def samplings_of(given: object, count: int) -> list[Sampling]:
    """One for each of so many prompts. Raises TypeError, and ValueError for another number of them."""
    if given is None or isinstance(given, Sampling):
        return [given or Sampling()] * count
    expected = "a Sampling, or a list of as many as there are prompts"
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict):
        raise TypeError(f"sampling: expected {expected}, found {told(given)}")
    each = list(given)
    for place, one in enumerate(each):
        if not isinstance(one, Sampling):
            raise TypeError(f"sampling: place {place}: expected a Sampling, found {told(one)}")
    if len(each) != count:
        raise ValueError(f"{len(each)} samplings for {count} prompts: expected one for all, or one each")
    return each


def check_told(**given: object) -> None:
    """Functions that are to hear of something. Raises TypeError."""
    for name, function in given.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name}: expected a function, found {told(function)}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _device(name: str) -> bool:
    kind, colon, number = name.partition(":")
    return name == "cpu" or (kind == "cuda" and (number.isdecimal() or not colon))


_NUMBER = (int,), "a whole number from 1 on", lambda value: value >= 1
_NUMBER_OR_NONE = (int, type(None)), "None or a whole number from 1 on", lambda value: value is None or value >= 1
_RULES: tuple[tuple[str, tuple[type, ...], str, Callable[[Any], bool]], ...] = (
    ("device", (str,), "cpu, cuda or cuda:N", _device),
    ("block_size", *_NUMBER_OR_NONE),
    ("cache_bytes", *_NUMBER_OR_NONE),
    ("pass_tokens", *_NUMBER),
    ("sequences", *_NUMBER),
    ("max_length", *_NUMBER_OR_NONE),
    ("cuda_graphs", (bool,), "True or False", lambda _: True),
)
"""The fields of `Settings`, their types, and what they may be."""
