"""A draft as TOML: every entry below a comment that says why it is there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tracer.starter.draft import Draft

_WIDTH = 110


def text_of(draft: Draft) -> str:
    """The whole file."""
    lines = [*_head(draft), *_tables(draft), *_entries(draft), *_todo(draft)]
    return "\n".join(lines).strip() + "\n"


def _head(draft: Draft) -> Iterator[str]:
    yield from _comment(draft.why)
    yield f"architecture = {_value(draft.architecture)}"
    for key, value in (("like", draft.like), ("layers", draft.layers), ("prefixes", list(draft.prefixes) or None)):
        if value is not None:
            yield f"{key} = {_value(value)}"


def _tables(draft: Draft) -> Iterator[str]:
    tables: Mapping[str, Mapping[str, Any]] = {
        "axes": draft.axes, "factors": draft.factors, "flags": draft.flags, "domains": draft.domains
    }  # fmt: skip
    for name, table in tables.items():
        if table:
            yield from ("", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items()))


def _entries(draft: Draft) -> Iterator[str]:
    for name, why in draft.removes:
        yield from _entry("remove", {"name": name}, why)
    for param in draft.params:
        yield from _entry("param", param.fields(), param.why)
    for row in draft.rows:
        yield from _entry("row", row.fields(), row.why)
    for name, why in draft.skips:
        yield from _entry("skip", {"name": name, "why": why}, "")


def _entry(kind: str, fields: Mapping[str, Any], why: str) -> Iterator[str]:
    yield ""
    yield from _comment(why)
    yield f"[[{kind}]]"
    for key, value in fields.items():
        yield f"{key} = {_value(value)}"


def _todo(draft: Draft) -> Iterator[str]:
    for told in draft.assumed:
        yield from ("", *_comment(f"Assumed: {told}."))
    for subject, why in draft.todo:
        yield from ("", *_comment(f"TODO {subject}: {why}"))


def _comment(text: str) -> list[str]:
    clean = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return [f"# {line}" for line in textwrap.wrap(clean, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _key(text: str) -> str:
    return text if text.isascii() and text.isidentifier() else _value(text)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value)


def _quoted(text: str) -> str:
    """A basic string (TOML 1.0): quotes, backslashes and what is no printable character are escaped."""
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"
