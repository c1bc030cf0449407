"""Every cell of a saved trace, replaced by whatever it may not be: one line or a finding, and never `audit ok`.

Both forms: a store, whose tables anybody can write without their constraints, and JSON Lines.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tracer.audit.placement import audit_placement
from tracer.cli import main
from tracer.prepare import replan
from tracer.report import jsonl
from tracer.session import Request, run
from tracer.store import Store

SMALL = json.dumps({"num_hidden_layers": 1, "vocab_size": 1000, "num_key_value_heads": 2})
HUGE = "9" * 100_000
CELLS: dict[str, object] = {
    "nothing": None, "an empty text": "", "a text": "x", "half a list": "[", "an object": "{}", "a list": "[1]",
    "deep": "[" * 100_000, "a negative number": -1, "one": 1, "the largest number": 2**63 - 1, "a real number": 1.5,
    "many digits": HUGE, "a large range": f"[[0, {2**61}, 2]]", "a blob": b"\xff\x00",
}  # fmt: skip
FREE = {
    "finding.id", "move.id", "pad.id", "param.id", "tensor.id", "verdict.id",
    "tensor.file", "tensor.offset", "tensor.nbytes", "tensor.row", "tensor.reason", "param.fused", "pad.reason",
}  # fmt: skip
"""What the audit does not depend on: the order of records, where in which file the tensors lay, and words."""


class Case(NamedTuple):
    """How an audit ended."""

    status: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return "audit ok" in self.out


def audit(path: Path, capsys: pytest.CaptureFixture[str]) -> Case:
    """The command's end, which is never a traceback."""
    status = main(["audit", str(path)])
    case = Case(status, *capsys.readouterr())
    assert status in (0, 1, 2)
    if status == 2:
        assert case.err.count("\n") == 1 and len(case.err) < 1000, case.err[:2000]
        assert case.out == ""
    else:
        assert case.err == ""
    if status == 1:
        assert "ERROR" in case.out and not case.ok
    return case


# --- stores ---


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound store without the types and constraints that would keep some damage out."""
    path = tmp_path_factory.mktemp("saved") / "t.db"
    run(Request(tp=2, load_format="dummy", overrides=SMALL), save=path).store.close()
    with closing(sqlite3.connect(path)) as db, db:
        for table in tables(db):
            rows, names = db.execute(f"SELECT * FROM {table}").fetchall(), columns(db, table)
            db.execute(f"DROP TABLE {table}")
            db.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", rows)
        db.execute("INSERT INTO finding VALUES (1, ?)", (json.dumps(FINDING),))
    return path


FINDING: dict[str, Any] = {
    "code": "x.y", "severity": "info", "subject": "s", "rank": None, "message": "m", "evidence": {}, "fix": None,
}  # fmt: skip


def tables(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def test_the_store_itself_is_ok(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(saved, capsys).ok


def test_every_cell_of_a_store(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, content, free = tmp_path / "t.db", saved.read_bytes(), set()
    with closing(sqlite3.connect(saved)) as db:
        cells = [(table, column) for table in tables(db) for column in columns(db, table)]
    for table, column in cells:
        for name, value in CELLS.items():
            path.write_bytes(content)
            if not replace(path, table, column, value):
                continue
            if audit(path, capsys).ok:
                assert f"{table}.{column}" in FREE, f"{table}.{column} is {name}, and the audit ok"
                free.add(f"{table}.{column}")
    assert free == FREE


def replace(path: Path, table: str, column: str, value: object) -> bool:
    """Whether the first row of a table has another value now."""
    with closing(sqlite3.connect(path)) as db, db:
        (before,) = db.execute(f"SELECT {column} FROM {table} ORDER BY rowid LIMIT 1").fetchone()
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) FROM {table})", (value,))
    return bool(before != value)


@pytest.mark.parametrize(("change", "said"), [
    ("DELETE FROM run", "has no run record"),
    ("INSERT INTO run SELECT value FROM run", "has 2 run records"),
    ("DELETE FROM name WHERE id = (SELECT row FROM move WHERE rowid = 1)", "expected the number of a name"),
    ("UPDATE move SET row = NULL WHERE row = (SELECT row FROM move WHERE rowid = 1)", "move.row in row 1 is None"),
    ("DROP TABLE box", "no such table"),
])  # fmt: skip
def test_rows_that_are_gone_or_too_many(
    change: str, said: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(saved.read_bytes())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(change)
    found = audit(path, capsys)
    assert found.status == 2 and said in found.err


def test_a_move_without_row_is_not_the_planned_one_of_a_row_without_name(saved: Path, tmp_path: Path) -> None:
    """Both have no number; behind the check of cells the audit knows the difference itself."""
    path = tmp_path / "t.db"
    path.write_bytes(saved.read_bytes())
    with closing(sqlite3.connect(path)) as db, db:
        (row,) = db.execute("SELECT row FROM move LIMIT 1").fetchone()
        (count,) = db.execute("SELECT count(*) FROM move WHERE row = ?", (row,)).fetchone()
        db.execute("UPDATE move SET row = NULL WHERE row = ?", (row,))
        db.execute("DELETE FROM name WHERE id = ?", (row,))
    with closing(Store.open(path)) as store:
        plan = replan(store)
        assert plan is not None
        drafts, compared = audit_placement(store, plan, (0, 1))
        assert compared == store.count("move") - count
        assert {draft.code for draft in drafts} == {"audit.unwritten"}


# --- JSON Lines ---

VALUES: dict[str, object] = {
    "null": None, "an empty text": "", "a text": "x", "a list": [1], "an empty list": [], "an object": {},
    "a negative number": -1, "one": 1, "the largest number": 2**63 - 1, "a real number": 1.5, "true": True,
    "a huge number": 10**400, "a large range": [[0, 2**61, 2]], "many ranges": [[0, 1]] * 100, "a huge text": HUGE,
}  # fmt: skip
FREE_KEYS = {
    "run.tool", "run.model", "run.load_format", "run.loader", "run.mapping", "run.dialect", "run.dtype",
    "tensor.file", "tensor.offset", "tensor.nbytes", "tensor.row", "tensor.reason", "param.fused", "pad.reason",
    "check.name", "check.state", "check.reason", "check.kind", "finding.code", "finding.subject",
    "finding.rank", "finding.message", "finding.evidence", "finding.fix", "finding.kind",
    "end.findings", "end.seconds", "end.peak_rss_bytes",
}  # fmt: skip
"""The same, and what a trace says of itself: who wrote it, what was found, how long it took."""


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    result = run(Request(tp=2, load_format="dummy", overrides=SMALL))
    found = [json.loads(line) for line in jsonl.records(result.store)]
    return [*found[:-1], {"kind": "finding"} | FINDING, found[-1]]


def changes(records: list[dict[str, Any]]) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """For the first record of each kind, every key once without it and once with every other value."""
    places = {record["kind"]: at for at, record in reversed(list(enumerate(records)))}
    for kind, at in places.items():
        record = records[at]
        for key in record:
            yield f"{kind}.{key}", "gone", at, {k: v for k, v in record.items() if k != key}
            for name, value in VALUES.items():
                if value != record[key] or type(value) is not type(record[key]):
                    yield f"{kind}.{key}", name, at, record | {key: value}


def test_every_key_of_a_json_lines_trace(
    records: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, free = tmp_path / "t.jsonl", set()
    lines = [json.dumps(record) for record in records]
    for key, name, at, changed in changes(records):
        path.write_text("\n".join([*lines[:at], json.dumps(changed), *lines[at + 1 :]]))
        if audit(path, capsys).ok:
            assert key in FREE_KEYS, f"{key} is {name}, and the audit ok"
            free.add(key)
    assert free == FREE_KEYS
