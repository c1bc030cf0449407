"""A key map of the user's own: TOML, a line a binding, `id = "key,key"`; ids are stable, `--help-keys` prints them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.keys import Keys, _character_to_key

from tracer.checkpoint.regular_file import open_regular
from tracer.errors import InputError, UsageError
from tui.widgets.sheet import Sheet

DEFAULT = Path("trace-load", "keys.toml")
"""Below $XDG_CONFIG_HOME, read where no file is named."""


def bindings(app: type[App[int]]) -> Iterator[Binding]:
    """Every binding that can be given other keys."""
    for owner in (app, Sheet):
        yield from (each for each in owner.BINDINGS if isinstance(each, Binding) and each.id)


def as_toml(app: type[App[int]]) -> str:
    """The key map as it is, to be changed."""
    lines = [f'"{each.id}" = "{each.key}"  # {each.tooltip or each.description}' for each in bindings(app)]
    return "\n".join(["# Keys of `tracer browse`; several with commas between them.", *lines, ""])


def keymap_of(file: str | None, app: type[App[int]]) -> dict[str, str]:
    """The user's keys by binding. Raises UsageError with what is wrong and where."""
    path = Path(file) if file else _default()
    if not file and not path.is_file():
        return {}
    known = {str(binding.id): binding.key for binding in bindings(app)}
    found = {name: _checked(path, name, keys, known) for name, keys in _dotted(_read(path))}
    _refuse_shared(path, known | found, found)
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with open_regular(path) as file:
            return tomllib.loads(file.read(_LONGEST).decode("utf-8-sig"))
    except InputError as error:
        raise UsageError(f"--keys {error}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--keys {path}: {error}") from error
    except RecursionError as error:
        raise UsageError(f"--keys {path}: nested too deeply") from error


def _dotted(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """To TOML, names with dots that have no quotes are tables."""
    for name, value in found.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _default() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / DEFAULT


def _checked(path: Path, name: str, keys: object, known: Mapping[str, str]) -> str:
    """The keys as Textual splits them, which keeps blanks."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; nearest: {near[0]}" if near else "; tracer browse --help-keys lists them"
        raise UsageError(f"--keys {path}: no binding {name!r}{hint}")
    if not isinstance(keys, str) or not keys:
        raise UsageError(f"--keys {path}: {name} is {keys!r}, expected keys as one text, such as \"ctrl+n,f5\"")
    split = [key.strip() for key in keys.split(",")]
    wrong = next((key for key in split if not _is_key(key)), None)
    if wrong is not None:
        hint = f"; it is called {_character_to_key(wrong)}" if len(wrong) == 1 else ""
        raise UsageError(f"--keys {path}: {name}: no key {wrong!r}{hint}")
    return ",".join(split)


def _refuse_shared(path: Path, keys: Mapping[str, str], given: Mapping[str, str]) -> None:
    """A key of two bindings would do only one of the two."""
    owners: dict[str, str] = {}
    for name in sorted(keys, key=lambda name: name in given):
        for key in keys[name].split(","):
            if name in given and owners.get(key, name) != name:
                raise UsageError(f"--keys {path}: {name}: {key} is a key of {owners[key]}")
            owners[key] = name


_LONGEST = 1 << 20
"""Bytes of a key map that are read."""
_MODIFIERS = ("ctrl", "shift", "alt", "super", "meta", "hyper")
_NAMES = {key.value for key in Keys}
_PUNCTUATION = {
    "slash", "plus", "minus", "equals_sign", "question_mark", "right_square_bracket", "left_square_bracket", "comma",
    "full_stop", "colon", "semicolon", "space", "less_than_sign", "greater_than_sign", "asterisk", "number_sign",
    "exclamation_mark", "underscore", "backslash", "vertical_line", "tilde", "grave_accent", "apostrophe",
    "quotation_mark", "at", "dollar_sign", "percent_sign", "circumflex_accent", "ampersand", "left_parenthesis",
    "right_parenthesis", "left_curly_bracket", "right_curly_bracket",
}  # fmt: skip


def _is_key(key: str) -> bool:
    """Whether Textual would ever report it."""
    *held, last = key.split("+")
    if any(each not in _MODIFIERS for each in held):
        return False
    return last in _NAMES or last in _PUNCTUATION or (len(last) == 1 and last.isalnum())
