"""What the fields of a trace record must hold. A trace is input like any other: it may come from another tool."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

LARGEST_TP = 4096
"""More ranks than any engine cuts a model for."""
_LARGEST = 1 << 62
_DIMENSIONS = 64
"""As many as torch allows."""


def _whole(value: object) -> bool:
    return type(value) is int and -_LARGEST < value < _LARGEST


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


def _extents(value: object) -> bool:
    """Those of a tensor whose elements can be counted."""
    return (isinstance(value, list) and len(value) <= _DIMENSIONS and all(map(_natural, value))
            and math.prod(value) < _LARGEST)  # fmt: skip


def _ranges(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _DIMENSIONS and all(map(_range, value))


def _order(value: object) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= _DIMENSIONS or not all(map(_natural, value)):
        return False
    return sorted(value) == list(range(len(value)))


def _number(value: object) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))


_TEXTS = (
    "name", "param", "tensor", "row", "model", "architecture", "dtype", "load_format", "loader", "tool", "code",
    "subject", "message", "state",
)  # fmt: skip
_TEXTS_OR_NULL = ("file", "tied_to", "mapping", "dialect", "op", "reason", "fix")
FIELDS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "tp": (f"an integer from 1 to {LARGEST_TP}", lambda value: type(value) is int and 0 < value <= LARGEST_TP),
    "rank": ("a rank", _natural),
    "ranks": ("a list of ranks", _list_of(_natural)),
    "shape": ("a list of extents", _extents),
    "src": ("ranges of integers", _ranges),
    "dst": ("ranges of integers", _ranges),
    "perm": ("an order of axes, or null", _optional(_order)),
    "offset": ("an integer or null", _optional(_natural)),
    "nbytes": ("an integer", _natural),
    "peak_rss_bytes": ("an integer", _natural),
    "seconds": ("a number", _number),
    "shard": ("a text, an integer or null", lambda value: value is None or _text(value) or type(value) is int),
    "value": ("a number", _number),
    "config": ("an object", lambda value: isinstance(value, dict)),
    "evidence": ("an object", lambda value: isinstance(value, dict)),
    "observed": ("true or false", lambda value: isinstance(value, bool)),
    "fused": ("true or false", lambda value: isinstance(value, bool)),
    "disposition": ("loaded, skipped or unmapped", lambda value: value in ("loaded", "skipped", "unmapped")),
    "severity": ("error, warning or info", lambda value: value in ("error", "warning", "info")),
    "schema": ("1", lambda value: type(value) is int and value == 1),
    **dict.fromkeys(_TEXTS, ("a text", _text)),
    **dict.fromkeys(_TEXTS_OR_NULL, ("a text or null", _optional(_text))),
    **dict.fromkeys(("tensors", "params", "moves", "findings"), ("a count", _natural)),
}
"""Field -> what is expected, and the test for it; the same name means the same in every kind of record."""
OPTIONAL = {("run", "dtype"), ("tensor", "row"), ("finding", "rank")}


def check_record(kind: str, record: Mapping[str, Any]) -> None:
    """Raises ValueError that names the field, what was expected and what was found."""
    for field, value in record.items():
        if field not in FIELDS or (value is None and (kind, field) in OPTIONAL):
            continue
        expected, fits = FIELDS[field]
        if not fits(value):
            raise ValueError(f"{kind}.{field} is {str(value)[:60]!r}, expected {expected}")
    if kind == "run" and "schema" not in record:
        raise ValueError("run.schema is not there, expected 1")
    if kind == "run" and max(record.get("ranks", [0]), default=0) >= record.get("tp", 1):
        raise ValueError(f"run.ranks is {record['ranks']}, expected ranks below tp = {record.get('tp')}")
