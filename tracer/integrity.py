"""Whether every cell of a saved store holds what its column is for: a file from elsewhere may hold anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from tracer.cells import box_of, damaged, ranges_of, shape_of, shard_of, shown

_TEXT = "typeof({0}) = 'text'"
_COUNT = "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND 4611686018427387903"
_FLAG = "typeof({0}) = 'integer' AND {0} IN (0, 1)"
_NUMBER = "typeof({0}) IN ('integer', 'real')"
_NAME = "typeof({0}) = 'integer' AND EXISTS (SELECT 1 FROM name WHERE name.id = {1}.{0})"
_BOX = "typeof({0}) = 'integer' AND EXISTS (SELECT 1 FROM box WHERE box.id = {1}.{0})"
_VERDICT = "{0} IN ('loaded', 'skipped', 'unmapped')"


def _or_null(condition: str) -> str:
    return f"({{0}} IS NULL OR ({condition}))"


_EXPECTED: Mapping[str, str] = {
    _TEXT: "a text", _or_null(_TEXT): "a text or nothing", _COUNT: "a count", _or_null(_COUNT): "a count or nothing",
    _FLAG: "0 or 1", _NUMBER: "a number", _NAME: "the number of a name", _BOX: "the number of a block",
    _or_null(_NAME): "the number of a name or nothing", _VERDICT: "loaded, skipped or unmapped",
}  # fmt: skip
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "run": {"value": _TEXT},
    "name": {"text": _TEXT},
    "tensor": {
        "name": _NAME, "dtype": _TEXT, "shape": _TEXT, "file": _or_null(_NAME), "offset": _or_null(_COUNT),
        "nbytes": _COUNT, "disposition": _VERDICT, "row": _or_null(_NAME), "reason": _or_null(_TEXT),
    },
    "param": {
        "rank": _COUNT, "name": _NAME, "shape": _TEXT, "dtype": _TEXT, "fused": _FLAG, "tied_to": _or_null(_NAME),
    },
    "box": {"src": _TEXT, "dst": _TEXT, "perm": _or_null(_TEXT)},
    "move": {
        "rank": _COUNT, "tensor": _NAME, "row": _NAME, "shard": _TEXT, "param": _NAME, "box": _BOX,
        "op": _or_null(_TEXT),
    },
    "pad": {"rank": _COUNT, "param": _NAME, "dst": _TEXT, "value": _NUMBER, "reason": _TEXT},
    "finding": {"value": _TEXT},
    "verdict": {"value": _TEXT},
    "finish": {"value": _TEXT},
}  # fmt: skip
"""Table -> column -> the condition that each of its cells meets."""
_JSON: Sequence[tuple[str, str, Callable[[str], object]]] = (
    ("tensor", "shape", shape_of), ("param", "shape", shape_of), ("move", "shard", shard_of), ("pad", "dst", ranges_of),
)  # fmt: skip
"""Columns of texts that are spelled as JSON, and what reads them; those of a block are read together."""


def check_cells(db: sqlite3.Connection) -> None:
    """Raises InputError for the first cell that cannot be; one pass over each table."""
    for table, columns in _COLUMNS.items():
        met = {column: f"({condition.format(column, table)})" for column, condition in columns.items()}
        if _first(db, table, " AND ".join(met.values())) is None:
            continue
        for column, condition in columns.items():
            found = _first(db, table, met[column], column)
            if found is not None:
                row, value = found
                raise damaged(f"{table}.{column} in row {row} is {shown(value)}, expected {_EXPECTED[condition]}")
    _decode(db)


def _decode(db: sqlite3.Connection) -> None:
    """Each different text once; a trace of a million moves has a few thousand."""
    for table, column, read in _JSON:
        for (text,) in db.execute(f"SELECT DISTINCT {column} FROM {table}"):
            read(text)
    for block in db.execute("SELECT src, dst, perm FROM box"):
        box_of(*block)


def _first(db: sqlite3.Connection, table: str, condition: str, column: str = "NULL") -> tuple[int, object] | None:
    query = f"SELECT rowid, {column} FROM {table} WHERE NOT ({condition}) LIMIT 1"
    found: tuple[int, object] | None = db.execute(query).fetchone()
    return found
