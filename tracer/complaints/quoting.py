"""Lists of names as Python, Rust and C++ print them: quoted or not, in any brackets, cut off or not."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"|`([^`\n]{1,1000})`")
_BARE = re.compile(r"[^\s,\[\]{}()'\"`]+(?:\{[^{}\s]*(?:, *\d+)*\}[^\s,\[\]{}()'\"`]*)*")
_NUMBER = re.compile(r"\d{1,19}")
_NO_NAMES = {"...", "…", "etc.", "and", "more"}


def listed_names(text: str) -> tuple[str, ...]:
    """Each name once, in order: those in quotes, or without any quotes all words."""
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
    found = quoted or [word.rstrip(".;:") for word in _BARE.findall(text)]
    return tuple(dict.fromkeys(name for name in found if name and name not in _NO_NAMES))


def listed_numbers(text: str) -> tuple[int, ...]:
    """Whole numbers, in order."""
    return tuple(map(int, _NUMBER.findall(text)))


def unquoted(text: str) -> str:
    """A word without the quotes around it and the stop after it."""
    return text.strip().strip("'\"`").strip()


_LIST_LINE = re.compile(r"[\s'\"`\[\]{}(),\w./*:…-]*$")
_OPENING, _CLOSING = "[{(", "]})"


def unfinished_list(text: str) -> bool:
    """Whether a line ends in the middle of a list: after a comma, or after a bracket or colon that opens one."""
    end = text.rstrip()[-1:]
    if end in (",", "["):
        return True
    if end != "{" and end != ":":
        return False
    return end == "{" or text.rstrip().endswith(("parameters not in model:", "parameters:", "keys:", "missing:"))


def continues_list(text: str) -> bool:
    """Whether a line can be the next one of a list of names: names and punctuation, no sentence."""
    words = text.replace(",", " ").split()
    return bool(words and _LIST_LINE.match(text)) and all(
        "." in word or "_" in word or word[:1] in "'\"[]{}()" for word in words
    )
