"""The report of a scan: one SQLite file, a row a tensor, for anyone with SQL. Complete or not there at all.

    SELECT name, mean, std FROM tensor WHERE zeros = count

Columns of `tensor` are called as the fields of a JSON record of kind `values`. SQLite has no number that is none, no
list and no 64 bits without a sign: a histogram is JSON, and integers beyond 2**63 are rounded.
"""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from tracer.checkpoint.folder import Checkpoint
from tracer.checkpoint.stamp import Stamp
from tracer.errors import InputError, UsageError
from tracer.outputs import partial_of
from tracer.values.parts import Histogram, Number, Part
from tracer.values.statistics import Statistics
from tracer.values.zero_bytes import ZeroBytes

FORMAT = 1
_SCHEMA = """
CREATE TABLE scan (format INTEGER NOT NULL, model TEXT NOT NULL, target TEXT);
CREATE TABLE file (name TEXT PRIMARY KEY, size INTEGER, modified INTEGER, inode INTEGER);
CREATE TABLE tensor (
    name TEXT PRIMARY KEY, dtype TEXT NOT NULL, shape TEXT NOT NULL, file TEXT NOT NULL, "offset" INTEGER NOT NULL,
    nbytes INTEGER NOT NULL, count INTEGER NOT NULL, nan INTEGER NOT NULL, positive_infinity INTEGER NOT NULL,
    negative_infinity INTEGER NOT NULL, first_nonfinite INTEGER, zeros INTEGER NOT NULL, minimum,
    maximum, mean REAL, std REAL, smallest REAL, sparsity REAL, constant INTEGER NOT NULL,
    overflow INTEGER NOT NULL, underflow INTEGER NOT NULL, digest TEXT, unread TEXT, histogram TEXT NOT NULL,
    spread REAL, zero_bytes TEXT NOT NULL);
"""
_COLUMNS = (
    "name", "dtype", "shape", "file", '"offset"', "nbytes", "count", "nan", "positive_infinity", "negative_infinity",
    "first_nonfinite", "zeros", "minimum", "maximum", "mean", "std", "smallest", "sparsity", "constant", "overflow",
    "underflow", "digest", "unread", "histogram", "spread", "zero_bytes",
)  # fmt: skip
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Report:
    """A stored scan."""

    model: str
    """As the user named it."""
    target: str | None
    """The dtype whose overflows were counted."""
    stamps: dict[str, Stamp]
    """Of each file that was read."""
    statistics: list[Statistics]
    """In the order of the files' bytes."""

    def differs(self, checkpoint: Checkpoint) -> str | None:
        """Why it is not of these very files; None where each has the size and the time of writing that it had."""
        for file in dict.fromkeys([*self.stamps, *checkpoint.stamps]):
            then, now = self.stamps.get(file), checkpoint.stamps.get(file)
            if then is None or now is None:
                return f"{file} is {'not in the report' if then is None else 'not in the checkpoint'}"
            if then[:2] != now[:2]:
                return f"{file} was {then} when it was scanned, and is {now}"
        return None


def write_report(
    path: Path, checkpoint: Checkpoint, statistics: Iterable[Statistics], target: str | None = None
) -> None:
    """Write it beside its name, then rename it. Raises UsageError where it cannot be written."""
    partial = partial_of(path)
    try:
        partial.unlink(missing_ok=True)
        db = sqlite3.connect(partial)
        try:
            _fill(db, checkpoint, statistics, target)
        finally:
            db.close()
        os.replace(partial, path)
    except (sqlite3.Error, OSError) as error:
        raise UsageError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _fill(db: sqlite3.Connection, checkpoint: Checkpoint, statistics: Iterable[Statistics], target: str | None) -> None:
    db.executescript(_SCHEMA)
    with db:
        db.execute("INSERT INTO scan VALUES (?, ?, ?)", (FORMAT, checkpoint.files.title, target))
        stamps = [(file, *stamp) for file, stamp in checkpoint.stamps.items()]
        db.executemany("INSERT INTO file VALUES (?, ?, ?, ?)", stamps)
        holes = ", ".join("?" * len(_COLUMNS))
        db.executemany(f"INSERT INTO tensor ({', '.join(_COLUMNS)}) VALUES ({holes})", map(_row, statistics))


def _row(found: Statistics) -> list[object]:
    record = found.record()
    zeroes, part = found.zeroes, found.part
    record |= {
        "shape": json.dumps(record["shape"]), "histogram": json.dumps(record["histogram"]), "spread": part.spread,
        '"offset"': found.offset, "mean": part.mean, "minimum": _storable(part.minimum),
        "maximum": _storable(part.maximum),
        "zero_bytes": json.dumps([zeroes.nbytes, zeroes.leading, zeroes.trailing, zeroes.start, zeroes.longest]),
    }  # fmt: skip
    return [record[column] for column in _COLUMNS]


def _storable(number: Number | None) -> Number | None:
    return float(number) if isinstance(number, int) and abs(number) > _LARGEST else number


def read_report(path: Path) -> Report:
    """Raises InputError where the file is none, or of a later version."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return _report(path, db)
        finally:
            db.close()
    except (sqlite3.Error, ValueError, TypeError) as error:
        message = f"{path}: expected a report of values (SQLite), found: {error}"
        raise InputError(message, subject=str(path)) from error


def _report(path: Path, db: sqlite3.Connection) -> Report:
    format, model, target = db.execute("SELECT format, model, target FROM scan").fetchone() or (None, "", None)
    if format != FORMAT:
        raise InputError(f"{path}: expected a report of version {FORMAT}, found {format}", subject=str(path))
    stamps = {name: Stamp(*rest) for name, *rest in db.execute("SELECT name, size, modified, inode FROM file")}
    return Report(model, target, stamps, list(_statistics(db)))


def _statistics(db: sqlite3.Connection) -> Iterator[Statistics]:
    for row in db.execute(f"SELECT {', '.join(_COLUMNS)} FROM tensor ORDER BY rowid"):
        told = dict(zip(_COLUMNS, row, strict=True))
        place = (tuple(json.loads(told["shape"])), told["file"], told['"offset"'], told["nbytes"])
        yield Statistics(
            told["name"], told["dtype"], *place, _part(told), told["first_nonfinite"],
            ZeroBytes(*json.loads(told["zero_bytes"])), told["digest"] or "", told["unread"] or "",
        )  # fmt: skip


def _part(told: Mapping[str, Any]) -> Part:
    nonfinite = {name: told[name] for name in ("nan", "positive_infinity", "negative_infinity")}
    same = {name: told[name] for name in ("zeros", "minimum", "maximum", "smallest", "overflow", "underflow")}
    octaves = json.loads(told["histogram"])
    histogram = Histogram(octaves["low"], array("q", octaves["negative"]), array("q", octaves["positive"]))
    mean, spread = (nan if told[name] is None else told[name] for name in ("mean", "spread"))
    finite = told["count"] - sum(nonfinite.values())
    return Part(**nonfinite, **same, finite=finite, mean=mean, spread=spread, histogram=histogram)
