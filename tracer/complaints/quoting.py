"""Lists of names as Python, Rust and C++ print them: quoted or not, in any brackets, cut off or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"|`([^`\n]{1,1000})`")
_BARE = re.compile(r"[^\s,\[\]{}()'\"`]+")
_NO_NAMES = {"...", "…", "etc.", "and", "or", "more", "set", "dict_keys"}
_LIST_LINE = re.compile(r"[\s'\"`\[\]{}(),\w./*:…-]*$")
_BRACES = re.compile(r"\{([\d., ]{1,200})\}")
_RANGE = re.compile(r"(\d{1,9})\.\.\.(\d{1,9})$")
_INDICES_LIMIT = 10_000


def listed_names(text: str, limit: int) -> tuple[str, ...]:
    """Each name once, in order: those in quotes, or without any quotes all words."""
    quoted = (next(filter(None, match.groups()), "") for match in _QUOTED.finditer(text))
    found = tuple(dict.fromkeys(islice((name for name in quoted if _is_name(name)), limit)))
    if found:
        return found
    bare = (match.group().rstrip(".;:…") for match in _BARE.finditer(text))
    return tuple(dict.fromkeys(islice((word for word in bare if _is_name(word)), limit)))


def _is_name(word: str) -> bool:
    return bool(word.strip(", ")) and word not in _NO_NAMES


def unquoted(text: str) -> str:
    """A word without the quotes around it and the punctuation after it."""
    return text.strip().strip("'\"`").rstrip(".,:;").strip()


def unfinished_list(text: str) -> bool:
    """Whether a line ends in the middle of a list: after a comma, an opening bracket, or words that announce one."""
    end = text.rstrip()
    return end.endswith((",", "[", "{", "not in model:", "parameters:", "from checkpoint:"))


def continues_list(text: str) -> bool:
    """Whether a line can be the next one of a list of names: names and punctuation, no sentence."""
    words = text.replace(",", " ").split()
    return bool(words and _LIST_LINE.match(text)) and all(
        "." in word or "_" in word or word[:1] in "'\"[]{}()" for word in words
    )


def uncollapsed(name: str) -> Iterator[str]:
    """The names that `layers.{0...27}.mlp.{up, gate}` stands for, as far as the indices are numbers.

    >>> list(uncollapsed("layers.{0, 1}.bias"))
    ['layers.0.bias', 'layers.1.bias']
    """
    parts = _BRACES.split(name)
    choices = [_indices(part) if place % 2 else [part] for place, part in enumerate(parts)]
    return ("".join(chosen) for chosen in islice(product(*choices), _INDICES_LIMIT))


def _indices(text: str) -> list[str]:
    match = _RANGE.match(text.strip())
    if match:
        first, last = int(match[1]), int(match[2])
        return [str(index) for index in range(first, min(last + 1, first + _INDICES_LIMIT))]
    return [index for part in text.split(",") if (index := part.strip())]
