"""What the fields of a trace record must hold. A trace is input like any other: it may come from another tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _whole(value: object) -> bool:
    return type(value) is int and -(1 << 62) < value < 1 << 62


def _natural(value: object) -> bool:
    return _whole(value) and int(str(value)) >= 0


def _text(value: object) -> bool:
    return isinstance(value, str)


def _optional(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or fits(value)


def _list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _range(value: object) -> bool:
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(map(_natural, value)):
        return False
    return bool(value[0] <= value[1]) and (len(value) == 2 or value[2] > 0)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FIELDS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "tp": ("a positive integer", lambda value: _natural(value) and value != 0),
    "rank": ("a rank", _optional(_natural)),
    "ranks": ("a list of ranks", _list_of(_natural)),
    "shape": ("a list of extents", _list_of(_natural)),
    "src": ("ranges of integers", _list_of(_range)),
    "dst": ("ranges of integers", _list_of(_range)),
    "perm": ("a list of axes, or null", _optional(_list_of(_natural))),
    "offset": ("an integer or null", _optional(_natural)),
    "nbytes": ("an integer", _natural),
    "value": ("a number", _number),
    "config": ("an object", lambda value: isinstance(value, dict)),
    "evidence": ("an object", lambda value: isinstance(value, dict)),
    "observed": ("true or false", lambda value: isinstance(value, bool)),
    "fused": ("true or false", lambda value: isinstance(value, bool)),
    "disposition": ("loaded, skipped or unmapped", lambda value: value in ("loaded", "skipped", "unmapped")),
    "severity": ("error, warning or info", lambda value: value in ("error", "warning", "info")),
    "schema": ("1", lambda value: value == 1),
    **dict.fromkeys(("name", "param", "tensor", "model", "architecture", "dtype"), ("a text", _text)),
    **dict.fromkeys(("file", "tied_to", "mapping", "dialect"), ("a text or null", _optional(_text))),
    **dict.fromkeys(("tensors", "params", "moves", "findings"), ("a count", _natural)),
}
"""Field -> what is expected, and the test for it; the same name means the same in every kind of record."""
OPTIONAL = {("run", "dtype"), ("tensor", "row"), ("move", "row")}


def check_record(kind: str, record: Mapping[str, Any]) -> None:
    """Raises ValueError that names the field, what was expected and what was found."""
    for field, value in record.items():
        if field not in FIELDS or (value is None and (kind, field) in OPTIONAL):
            continue
        expected, fits = FIELDS[field]
        if not fits(value):
            raise ValueError(f"{kind}.{field} is {str(value)[:60]!r}, expected {expected}")
    if kind == "run" and max(record.get("ranks", [0]), default=0) >= record.get("tp", 1):
        raise ValueError(f"run.ranks is {record['ranks']}, expected ranks below tp = {record.get('tp')}")
