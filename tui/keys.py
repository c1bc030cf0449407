"""A key map of the user's own: TOML, a line a binding, `id = "key,key"`; ids are stable, `--help-keys` prints them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from textual.app import App
from textual.binding import Binding
from textual.keys import Keys

from tracer.errors import UsageError
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
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--keys {path}: {error}") from error
    known = {str(binding.id) for binding in bindings(app)}
    for name, keys in found.items():
        _check(path, name, keys, known)
    return found


def _default() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / DEFAULT


def _check(path: Path, name: str, keys: object, known: set[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; nearest: {near[0]}" if near else "; tracer browse --help-keys lists them"
        raise UsageError(f"--keys {path}: no binding {name!r}{hint}")
    if not isinstance(keys, str) or not keys:
        raise UsageError(f"--keys {path}: {name} is {keys!r}, expected keys as one text, such as \"ctrl+n,f5\"")
    wrong = next((key for key in keys.split(",") if not _is_key(key.strip())), None)
    if wrong is not None:
        raise UsageError(f"--keys {path}: {name}: no key {wrong!r}")


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
    last = key.rpartition("+")[2]
    return key in _NAMES or last in _NAMES or last in _PUNCTUATION or (len(last) == 1 and last.isalnum())
