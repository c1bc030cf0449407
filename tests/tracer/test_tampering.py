"""A saved trace that was changed in one place is not called ok, and one that is no trace is refused in one line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tracer.cli import main
from tracer.session import Request, run

Records: TypeAlias = list[dict[str, Any]]
SMALL = json.dumps({"num_hidden_layers": 2, "vocab_size": 1000, "num_key_value_heads": 2})


@pytest.fixture(scope="module")
def records() -> Records:
    from tracer.report import jsonl

    result = run(Request(tp=2, load_format="dummy", overrides=SMALL))
    return [json.loads(line) for line in jsonl.records(result.store)]


def change(kind: str, field: str, value: Any, **where: Any) -> Callable[[Records], None]:
    def apply(found: Records) -> None:
        matching = (r for r in found if r["kind"] == kind and all(r[k] == v for k, v in where.items()))
        next(matching)[field] = value

    return apply


def drop(kind: str, every: bool = False, **where: Any) -> Callable[[Records], None]:
    def apply(found: Records) -> None:
        matching = [r for r in found if r["kind"] == kind and all(r[k] == v for k, v in where.items())]
        for record in matching if every else matching[:1]:
            found.remove(record)

    return apply


def twice(kind: str) -> Callable[[Records], None]:
    def apply(found: Records) -> None:
        found.insert(-1, next(r for r in found if r["kind"] == kind))

    return apply


CHANGES: dict[str, tuple[Callable[[Records], None], str]] = {
    "a move is gone": (drop("move", shard="k"), "audit.unwritten"),
    "a move is there twice": (twice("move"), "audit.overwritten"),
    "a source is shifted": (change("move", "src", [[1, 65], [0, 4096]], shard="k"), "audit"),
    "a destination is outside": (change("move", "dst", [[0, 99999], [0, 4096]], shard="k"), "outside of it"),
    "a row has another name": (change("move", "row", "foo", shard="k"), "of foo"),
    "a shard has another name": (change("move", "shard", "v", shard="k"), "as shard k"),
    "a rank is not one of the run": (change("move", "rank", 7, shard="k"), "ranks [7]"),
    "a pad has another value": (change("pad", "value", 5.0), "filled with 5"),
    "a pad is gone": (drop("pad"), "audit.unwritten"),
    "a tensor has another shape": (change("tensor", "shape", [1, 1]), "shape.mismatch"),
    "a loaded tensor is called skipped": (change("tensor", "disposition", "skipped"), "said to be skipped"),
    "a parameter is gone": (drop("param", rank=1), "does not exist"),
    "a rank has nothing": (drop("param", every=True, rank=1), "does not exist"),
    "a parameter is called tied": (
        change("param", "tied_to", "model.embed_tokens.weight", name="lm_head.weight"), "tie.conflict",
    ),
    "a parameter has another type": (change("param", "dtype", "F16"), "shape.mismatch"),
    "the totals are others": (change("end", "moves", 1), "moves is 1"),
    "the config is another": (
        lambda found: found[0]["config"].update(num_key_value_heads=4), "shape.mismatch",
    ),
}  # fmt: skip


def audit(path: Path, found: Records) -> int:
    path.write_text("\n".join(json.dumps(r) for r in found))
    return main(["audit", str(path)])


def test_the_trace_itself_is_ok(records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path / "t", json.loads(json.dumps(records))) == 0
    assert "audit ok" in capsys.readouterr().out


def test_the_order_of_moves_is_free(records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moves = [record for record in records if record["kind"] == "move"]
    others = [record for record in records if record["kind"] != "move"]
    assert audit(tmp_path / "t", [*others[:-1], *reversed(moves), others[-1]]) == 0
    out = capsys.readouterr().out
    assert "audit ok" in out
    assert f"{len(moves)} observed moves equal the plan" in out


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_trace_is_not_ok(
    name: str, records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(json.dumps(records))
    apply, said = CHANGES[name]
    apply(found)
    assert audit(tmp_path / "t", found) == 1
    out = capsys.readouterr().out
    assert "audit ok" not in out
    assert said in out


@pytest.mark.parametrize(("apply", "said"), [
    (drop("end"), "end not checked (the trace was cut short"),
    (change("run", "config", {}), "no config to plan from"),
])  # fmt: skip
def test_what_could_not_be_checked_is_incomplete_and_not_ok(
    apply: Callable[[Records], None], said: str, records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(json.dumps(records))
    apply(found)
    assert audit(tmp_path / "t", found) == 0
    out = capsys.readouterr().out
    assert "audit incomplete" in out
    assert "audit ok" not in out
    assert said in out


@pytest.mark.parametrize("apply", [
    change("run", "schema", 9), change("run", "tp", "2"), change("run", "ranks", 5), change("run", "config", [1]),
    change("run", "ranks", [0, 7]), change("tensor", "shape", None), change("tensor", "offset", 1 << 70),
    change("move", "src", [[0.0, 1.0], [0, 4096]], shard="k"), change("move", "dst", [[0]], shard="k"),
    twice("tensor"), twice("run"), twice("param"), drop("run"),
])  # fmt: skip
def test_a_record_that_cannot_be_is_refused_in_one_line(
    apply: Callable[[Records], None], records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(json.dumps(records))
    apply(found)
    assert audit(tmp_path / "t", found) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "line " in err


def test_a_damaged_store_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "t.db"
    run(Request(tp=2, load_format="dummy", overrides=SMALL), save=saved)
    content = saved.read_bytes()
    saved.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert main(["audit", str(saved)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("change", "said"), [
    ("UPDATE move SET box = 999 WHERE id = 3", "move.box in row 3 is 999, expected the number of a block"),
    ("UPDATE move SET box = 'x' WHERE id = 3", "move.box in row 3 is 'x', expected the number of a block"),
    ("UPDATE move SET param = 999 WHERE id = 3", "move.param in row 3 is 999, expected the number of a name"),
])  # fmt: skip
def test_a_store_whose_numbers_lead_nowhere_is_refused_in_one_line(
    change: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "t.db"
    run(Request(tp=2, load_format="dummy", overrides=SMALL), save=saved)
    with closing(sqlite3.connect(saved)) as db, db:
        db.execute(change)
    assert main(["audit", str(saved)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
