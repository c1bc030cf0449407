"""The trace store: one SQLite file with interned names and integer columns, one row a move.

Anyone with SQL can read it: the views `moves`, `params` and `pads` spell the names out. In memory it serves a run
that is not saved. A file is written beside its final name and renamed when it is complete; how far it is until then,
`live` tells.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from mappings.findings import Finding
from mappings.views import Box
from tracer.cells import (
    box_of,
    perm_text,
    ranges_of,
    ranges_text,
    record_of,
    shape_of,
    shape_text,
    shard_of,
    shard_text,
)
from tracer.errors import InputError, UsageError
from tracer.events import (
    Check,
    End,
    Move,
    Padding,
    Parameter,
    Run,
    Tensor,
    finding_to_dict,
)
from tracer.live import Live
from tracer.outputs import partial_of

SCHEMA = """
CREATE TABLE run (value TEXT NOT NULL);
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE tensor (id INTEGER PRIMARY KEY, name INTEGER NOT NULL UNIQUE, dtype TEXT, shape TEXT, file INTEGER,
                     offset INTEGER, nbytes INTEGER, disposition TEXT, row INTEGER, reason TEXT);
CREATE TABLE param (id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, name INTEGER NOT NULL, shape TEXT, dtype TEXT,
                    fused INTEGER, tied_to INTEGER, UNIQUE (rank, name));
CREATE TABLE box (id INTEGER PRIMARY KEY, src TEXT NOT NULL, dst TEXT NOT NULL, perm TEXT);
CREATE TABLE move (id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, tensor INTEGER NOT NULL, row INTEGER NOT NULL,
                   shard TEXT, param INTEGER NOT NULL, box INTEGER NOT NULL, op TEXT);
CREATE TABLE pad (id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, param INTEGER NOT NULL, dst TEXT, value REAL,
                  reason TEXT);
CREATE TABLE finding (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE verdict (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE finish (value TEXT NOT NULL);
CREATE VIEW moves AS SELECT m.id, m.rank, t.text AS tensor, r.text AS row, m.shard, p.text AS param, b.src, b.dst,
    b.perm, m.op FROM move m JOIN name t ON t.id = m.tensor JOIN name r ON r.id = m.row
    JOIN name p ON p.id = m.param JOIN box b ON b.id = m.box;
CREATE VIEW tensors AS SELECT t.id, n.text AS name, t.dtype, t.shape, f.text AS file, t.offset, t.nbytes,
    t.disposition, r.text AS row, t.reason FROM tensor t JOIN name n ON n.id = t.name
    LEFT JOIN name f ON f.id = t.file LEFT JOIN name r ON r.id = t.row;
CREATE VIEW params AS SELECT p.id, p.rank, n.text AS name, p.shape, p.dtype, p.fused, o.text AS tied_to FROM param p
    JOIN name n ON n.id = p.name LEFT JOIN name o ON o.id = p.tied_to;
CREATE VIEW pads AS SELECT d.id, d.rank, n.text AS param, d.dst, d.value, d.reason FROM pad d
    JOIN name n ON n.id = d.param;
"""
INDEXES = (
    "CREATE UNIQUE INDEX IF NOT EXISTS name_text ON name (text)",
    "CREATE INDEX IF NOT EXISTS move_param ON move (param, rank)",
    "CREATE INDEX IF NOT EXISTS move_tensor ON move (tensor, rank)",
)
"""Made when all is in, which is several times faster than keeping them up to date."""


WAIT = 5.0
"""Seconds for which a saved store may be locked by another program."""


class MoveRow(NamedTuple):
    """One copy as it goes into the store; it makes one move a box."""

    rank: int
    tensor: str
    row: str
    shard: str | int | None
    param: str
    op: str | None
    boxes: Sequence[Box]


class Store:
    """One trace. Create with `Store.new`, read with `Store.open`. Threads may hand it on, and use it in turns."""

    def __init__(self, db: sqlite3.Connection, final: Path | None = None, partial: Path | None = None) -> None:
        self.db = db
        self.live = Live()
        self._final = final
        self._partial = partial
        self._names: dict[str, int] = {}
        self._boxes: dict[Box, int] = {}
        self._new_names: list[tuple[int, str]] = []
        self._new_boxes: list[tuple[int, str, str, str | None]] = []
        self._indexed = False

    @classmethod
    def new(cls, path: Path | None = None) -> Store:
        """An empty store, in memory or in a file beside `path`. Raises UsageError when that cannot be written."""
        partial = partial_of(path) if path else None
        try:
            db = sqlite3.connect(partial or ":memory:", isolation_level=None, check_same_thread=False)
            store = cls(db, path, partial)
            store._begin()
            store.live = Live(partial)
        except sqlite3.Error as error:
            if partial:
                partial.unlink(missing_ok=True)
            raise UsageError(f"cannot write {path}: {error}") from error
        return store

    def _begin(self) -> None:
        try:
            self.db.execute("PRAGMA journal_mode = OFF")
            self.db.execute("PRAGMA synchronous = OFF")
            self.db.executescript(SCHEMA)
            self.db.execute("BEGIN")
        except sqlite3.Error:
            self.close()
            raise

    @classmethod
    def open(cls, path: Path, wait: float = WAIT) -> Store:
        """A saved store. Raises InputError when the file is none, or when others keep it locked for so many seconds."""
        try:
            db = read_only(path, wait)
            try:
                found = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            except (sqlite3.Error, UnicodeDecodeError):
                db.close()
                raise
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for a message that quotes a damaged name
            raise InputError(f"{path}: expected a trace store (SQLite), found: {error}", subject=str(path)) from error
        if not {"run", "move", "tensor"} <= found:
            raise InputError(f"{path}: an SQLite file, but no trace: tables are {sorted(found)}", subject=str(path))
        store = cls(db)
        store._indexed = True
        return store

    def name(self, text: str) -> int:
        """The number of a name, given out when first seen."""
        number = self._names.get(text)
        if number is None:
            number = self._names[text] = len(self._names) + 1
            self._new_names.append((number, text))
        return number

    def _optional(self, text: str | None) -> int | None:
        return None if text is None else self.name(text)

    def box(self, block: Box) -> int:
        """The number of a block, given out when first seen."""
        number = self._boxes.get(block)
        if number is None:
            number = self._boxes[block] = len(self._boxes) + 1
            self._new_boxes.append((number, ranges_text(block.src), ranges_text(block.dst), perm_text(block.perm)))
        return number

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of one table, after the names and blocks that they mention."""
        # Ctrl-C may come between two of these, and what is asked for again then must not be there twice.
        self.db.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", self._new_names)
        self._new_names.clear()
        self.db.executemany("INSERT OR IGNORE INTO box VALUES (?, ?, ?, ?)", self._new_boxes)
        self._new_boxes.clear()
        if rows:
            self.db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    def set_run(self, run: Run) -> None:
        self.db.execute("DELETE FROM run")
        self.db.execute("INSERT INTO run VALUES (?)", (json.dumps(asdict(run)),))

    def add_tensors(self, tensors: Iterable[Tensor]) -> None:
        name, optional = self.name, self._optional
        rows = [
            (None, name(t.name), t.dtype, shape_text(t.shape), optional(t.file), t.offset, t.nbytes,
             t.disposition, optional(t.row), t.reason)
            for t in tensors
        ]  # fmt: skip
        self._insert("tensor", rows)

    def add_params(self, params: Iterable[Parameter]) -> None:
        rows = [
            (None, p.rank, self.name(p.name), shape_text(p.shape), p.dtype, p.fused, self._optional(p.tied_to))
            for p in params
        ]  # fmt: skip
        self._insert("param", rows)

    def add_moves(self, rows: Iterable[MoveRow]) -> int:
        """In the order in which they happened; how many these are."""
        name, box, names, boxes = self.name, self.box, self._names.get, self._boxes.get
        # Numbers begin with 1, and nearly always one is there.
        flat = [
            (None, rank, names(tensor) or name(tensor), names(row) or name(row), shard_text(shard),
             names(param) or name(param), boxes(block) or box(block), op)
            for rank, tensor, row, shard, param, op, blocks in rows for block in blocks
        ]  # fmt: skip
        self._insert("move", flat)
        return len(flat)

    def add_pads(self, pads: Iterable[Padding]) -> None:
        rows = [(None, p.rank, self.name(p.param), ranges_text(p.dst), p.value, p.reason) for p in pads]
        self._insert("pad", rows)

    def set_findings(self, findings: Iterable[Finding]) -> None:
        """Replace the findings."""
        self.db.execute("DELETE FROM finding")
        rows = [(json.dumps(finding_to_dict(f)),) for f in findings]
        self.db.executemany("INSERT INTO finding VALUES (NULL, ?)", rows)

    def add_finding(self, finding: Finding) -> None:
        self.db.execute("INSERT INTO finding VALUES (NULL, ?)", (json.dumps(finding_to_dict(finding)),))

    def ranks(self) -> set[int]:
        """Every rank that some record names."""
        query = "SELECT rank FROM param UNION SELECT rank FROM move UNION SELECT rank FROM pad"
        return {row[0] for row in self.db.execute(query)}

    def set_checks(self, checks: Iterable[Check]) -> None:
        """Replace the checks: what ran, and what did not and why."""
        self.db.execute("DELETE FROM verdict")
        self.db.executemany("INSERT INTO verdict VALUES (NULL, ?)", [(json.dumps(asdict(c)),) for c in checks])

    def add_check(self, check: Check) -> None:
        self.db.execute("INSERT INTO verdict VALUES (NULL, ?)", (json.dumps(asdict(check)),))

    def checks(self) -> list[Check]:
        return [record_of("check", row[0]) for row in self.db.execute("SELECT value FROM verdict ORDER BY id")]

    def set_end(self, end: End) -> None:
        self.db.execute("DELETE FROM finish")
        self.db.execute("INSERT INTO finish VALUES (?)", (json.dumps(asdict(end)),))

    def index(self) -> None:
        """Make look-ups by parameter and by tensor fast: for a complete file, or when one is first asked for."""
        if not self._indexed:
            for statement in INDEXES:
                self.db.execute(statement)
        self._indexed = True

    def commit(self) -> None:
        """Give a file store its final name. Until then nothing is at that name."""
        if self._partial:
            self.index()
        if self.db.in_transaction:
            self.db.execute("COMMIT")
        if self._partial and self._final:
            self.db.close()
            try:
                os.replace(self._partial, self._final)
            except OSError as error:
                raise UsageError(f"cannot write {self._final}: {error.strerror}") from error
            self.db = read_only(self._final)
            self._partial = None

    def close(self) -> None:
        """Let go of the file, or of the memory."""
        self.live.close()
        self.db.close()

    def discard(self) -> None:
        """Close; a file store that was not committed is removed."""
        self.close()
        if self._partial:
            self._partial.unlink(missing_ok=True)

    @property
    def run(self) -> Run:
        run: Run = record_of("run", self._one("SELECT value FROM run"))
        return run

    @property
    def end(self) -> End | None:
        """The totals, None for a trace that was cut short."""
        rows = self.db.execute("SELECT value FROM finish").fetchall()
        return record_of("end", rows[0][0]) if rows else None

    def _one(self, query: str) -> object:
        rows = self.db.execute(query).fetchall()
        if not rows:
            raise InputError("the trace store is empty: it has no run record")
        return rows[0][0]

    def count(self, table: str) -> int:
        """Rows of one table."""
        return int(self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def tensors(self) -> Iterator[Tensor]:
        """In file order."""
        for row in self.db.execute("SELECT name, dtype, shape, file, offset, nbytes, disposition, row, reason"
                                   " FROM tensors ORDER BY id"):  # fmt: skip
            yield Tensor(row[0], row[1], shape_of(row[2]), *row[3:])

    def params(self, rank: int) -> Iterator[Parameter]:
        query = "SELECT rank, name, shape, dtype, fused, tied_to FROM params WHERE rank = ? ORDER BY id"
        for row in self.db.execute(query, (rank,)):
            yield Parameter(row[0], row[1], shape_of(row[2]), row[3], bool(row[4]), row[5])

    def moves(
        self, rank: int | None = None, tensor: str | None = None, param: str | None = None
    ) -> Iterator[Move]:  # fmt: skip
        """In the order in which they happened, optionally of one rank, tensor or parameter."""
        wanted = {"rank": rank, "tensor": tensor, "param": param}
        given = {k: v for k, v in wanted.items() if v is not None}
        if tensor is not None or param is not None:
            self.index()
        where = " AND ".join(f"{key} = :{key}" for key in given)
        query = "SELECT rank, tensor, row, shard, param, src, dst, perm, op FROM moves"
        for row in self.db.execute(f"{query}{' WHERE ' + where if where else ''} ORDER BY id", given):
            box = box_of(*row[5:8])
            yield Move(row[0], row[1], row[2], shard_of(row[3]), row[4], *box, row[8])

    def pads(self, rank: int) -> Iterator[Padding]:
        query = "SELECT rank, param, dst, value, reason FROM pads WHERE rank = ? ORDER BY id"
        for row in self.db.execute(query, (rank,)):
            yield Padding(row[0], row[1], ranges_of(row[2]), row[3], row[4])

    def findings(self) -> list[Finding]:
        return [record_of("finding", row[0]) for row in self.db.execute("SELECT value FROM finding ORDER BY id")]


def read_only(path: Path, wait: float = WAIT) -> sqlite3.Connection:
    """A store that is not written to. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", wait, uri=True, check_same_thread=False)


def add_events(store: Store, moves: Sequence[Move]) -> None:
    """Moves that come as records, from a JSON Lines trace."""
    store.add_moves(
        MoveRow(m.rank, m.tensor, m.row, m.shard, m.param, m.op, [Box(m.src, m.dst, m.perm)]) for m in moves
    )  # fmt: skip

