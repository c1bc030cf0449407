"""Edits of one field in the text of a JSON object, which leave every other byte of it as it is.

Reading it and writing it again would keep neither its indentation nor how it spells numbers, lists and letters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


class NoSuchField(ValueError):
    """The field is not there, or lies in what is no object; says which."""


class _Member(NamedTuple):
    """`"key": value` at [start, stop), the value from `value` on."""

    key: str
    start: int
    value: int
    stop: int


def set_field(text: str, field: str, value: Any) -> str:
    """`field` (dots go into objects) with another value, or as the last of its object. Raises NoSuchField.

    The text is that of a valid JSON object. Objects that are not there are made.
    """
    at, keys = _innermost(text, field)
    if len(keys) == 1:
        found = [member for member in _members(text, at) if member.key == keys[0]]
        for member in reversed(found):
            text = text[: member.value] + _written(value, _indent_at(text, member.start), text) + text[member.stop :]
        if found:
            return text
    for key in reversed(keys[1:]):
        value = {key: value}
    return _appended(text, at, keys[0], value)


def remove_field(text: str, field: str) -> str:
    """Without `field`, and without the comma that it needed. Raises NoSuchField."""
    at, keys = _innermost(text, field)
    if len(keys) > 1 or _member(text, at, keys[0]) is None:
        raise NoSuchField(f"{field}: no such field")
    while (member := _member(text, at, keys[0])) is not None:
        before = [other.stop for other in _members(text, at) if other.stop <= member.start]
        after = [other.start for other in _members(text, at) if other.start >= member.stop]
        if before:
            text = text[: before[-1]] + text[member.stop :]
        else:
            text = text[: member.start] + text[after[0] if after else member.stop :]
    return text


def _innermost(text: str, field: str) -> tuple[int, list[str]]:
    """Where the innermost object begins that is there, and the keys from there on."""
    keys = field.split(".")
    at = _skip(text, 0)
    while len(keys) > 1:
        found = _member(text, at, keys[0])
        if found is None:
            break
        if text[found.value] != "{":
            raise NoSuchField(f"{field}: {keys[0]} is no object")
        at = found.value
        keys = keys[1:]
    return at, keys


def _member(text: str, at: int, key: str) -> _Member | None:
    """The last of that name, as it is the one that readers take."""
    return next((member for member in reversed(list(_members(text, at))) if member.key == key), None)


def _members(text: str, at: int) -> Iterator[_Member]:
    """Of the object that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] == '"':
        key, after = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, after) + 1)
        _, stop = _DECODER.raw_decode(text, value)
        yield _Member(key, at, value, stop)
        at = _skip(text, stop)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _appended(text: str, at: int, key: str, value: Any) -> str:
    """A new last member, set off as the one before it is."""
    members = list(_members(text, at))
    name = json.dumps(key, ensure_ascii=False)
    if members:
        last = members[-1]
        before = text[members[-2].stop : last.start] if len(members) > 1 else "," + (text[at + 1 : last.start] or " ")
        written = f"{before}{name}: {_written(value, _indent_at(text, last.start), text)}"
        return text[: last.stop] + written + text[last.stop :]
    close, step, outer = text.index("}", at), _step(text), _indent_at(text, at)
    if step is None:
        return f"{text[: at + 1]}{name}: {_written(value, '', text)}{text[close:]}"
    written = f"\n{outer}{step}{name}: {_written(value, outer + step, text)}\n{outer}"
    return text[: at + 1] + written + text[close:]


def _indent_at(text: str, at: int) -> str:
    """What the line that `at` is on begins with."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(text: str) -> str | None:
    """The indentation of the outermost object's fields; two spaces where it has none, None where all is on one line."""
    found = re.match(r"\s*\{[ \t\r]*\n([ \t]+)\"", text)
    if found:
        return found[1]
    return "  " if re.fullmatch(r"\s*\{\s*\}\s*", text) else None


def _written(value: Any, indent: str, text: str) -> str:
    """A value as JSON, its further lines as deep as the field that it is of."""
    step = _step(text)
    if step is None:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, indent=step).replace("\n", "\n" + indent)
