"""While a load writes its trace, another process can see how far it is; the trace and the load are as without it."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from contextlib import closing
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from safetensors.torch import load_file, save_file

from tests import faulty_ranks, small_llama
from tests.mappings.small import CONFIGS
from tests.sabotage import SkipsARow
from tracer import live, session
from tracer.errors import InputError
from tracer.events import End
from tracer.live import Live, Sight, records_of
from tracer.outputs import partial_of
from tracer.prepare import Prepared
from tracer.session import Request, Result, run
from tracer.shares import planned_shares, stored_shares
from tracer.standing import Share, Standing, decode, encode
from tracer.store import Store

TOLD = Standing("a \x1b[31mname", 2, "loading", tensors=3, seconds=1.5, pid=7, locked=True, findings={"warning": 2},
                shares=[Share(0, 9, 90, 4, 40, "t", "p"), Share(1)])  # fmt: skip


def test_a_record_survives_its_way_into_a_file_and_out_of_it() -> None:
    assert decode(encode(TOLD)) == TOLD


def test_what_is_left_of_a_longer_record_behind_it_does_no_harm() -> None:
    assert decode(encode(TOLD) + encode(TOLD)[40:]) == TOLD


@pytest.mark.parametrize("data", [
    b"", b"\n", b"garbage\n", encode(TOLD)[:-1], encode(TOLD)[:40] + encode(Standing("another"))[40:], b"\0" * 4096,
])  # fmt: skip
def test_a_record_that_is_half_written_or_none_is_seen_to_be_none(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize(("field", "value"), [
    ("state", "asleep"), ("seconds", "long"), ("findings", {"error": "many"}), ("tensors", None),
    ("shares", [{"rank": 0, "moves": "all"}]), ("shares", [7]), ("shares", None), ("shares", [{}]),
    ("seconds", float("nan")), ("seconds", float("inf")), ("tensors", 10**400), ("findings", {"error": 10**400}),
    ("shares", [{"rank": 0, "nbytes": -(10**400)}]),
])  # fmt: skip
def test_a_record_whose_fields_cannot_be_is_none(field: str, value: Any) -> None:
    text = json.dumps({"model": "m", "shares": [], field: value}).encode()
    assert decode(b"%08x %s\n" % (crc32(text), text)) is None
    whole = json.dumps({"model": "m", "shares": [], "of a later version": 1}).encode()
    assert decode(b"%08x %s\n" % (crc32(whole), whole)) == Standing("m")


# --- what is planned, and what was done ---


def elements(result: Result, rank: int) -> int:
    return sum(prod(len(range(*each)) for each in move.src) for move in result.store.moves(rank))


@pytest.mark.parametrize("name", [n for n, small in CONFIGS.items() if 2 in small.tp])
def test_what_a_rank_is_to_do_is_what_it_does(name: str, tmp_path: Path) -> None:
    """The plan by laws, and the copies that the loader makes, for every architecture."""
    (tmp_path / "config.json").write_text(json.dumps(dict(CONFIGS[name].config)))
    result = run(Request(str(tmp_path), 2, load_format="dummy"))
    prepared: Prepared = result.prepared
    planned = planned_shares(prepared.plan, prepared.infos, (0, 1), read=True)
    done = stored_shares(result.store)
    assert [share.planned_moves for share in planned] == [share.moves for share in done]
    assert all(share.moves for share in done)
    widths = {info.nbytes / prod(info.shape) for info in prepared.infos if prod(info.shape)}
    if len(widths) == 1:
        assert [share.planned_bytes for share in planned] == [elements(result, r) * max(widths) for r in (0, 1)]


# --- the record while a load goes on ---


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Standing]:
    """Everything that is written for followers, as one of them would read it."""
    seen: list[Standing] = []
    write = os.pwrite

    def pwrite(file: int, data: bytes, at: int) -> int:
        found = decode(data)
        assert found is not None
        seen.append(found)
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return seen


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


def test_a_load_tells_its_phases_in_order_and_leaves_nothing_but_its_trace(
    model: Path, tmp_path: Path, told: list[Standing]
) -> None:
    with closing(run(Request(str(model), 2, load_format="dummy"), tmp_path / "t.db").store):
        assert [standing.phase for standing in told] == ["starting", "loading", "auditing the trace", "ended"]
        assert (told[-1].state, told[-1].kept) == ("done", True)
        assert [share.moves for share in told[-2].shares] == [21, 21]
        assert [path.name for path in tmp_path.iterdir()] == ["t.db"]


def test_where_nothing_is_executed_no_rank_has_anything_to_do(tmp_path: Path, told: list[Standing]) -> None:
    with closing(run(Request(plan_only=True, tp=2), tmp_path / "t.db").store):
        assert [(standing.phase, standing.shares) for standing in told[1:]] == [
            ("writing down the plan", []), ("ended", []),
        ]  # fmt: skip


def test_a_load_that_gives_up_says_why_before_its_record_goes(
    model: Path, tmp_path: Path, told: list[Standing], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InputError("notes that are none")

    monkeypatch.setattr(session, "all_findings", fail)
    with pytest.raises(InputError):
        run(Request(str(model), load_format="dummy"), tmp_path / "t.db")
    assert (told[-1].state, told[-1].reason, told[-1].kept) == ("failed", "notes that are none", False)
    assert list(tmp_path.iterdir()) == []


def test_what_the_audit_found_is_in_the_last_word(model: Path, tmp_path: Path, told: list[Standing]) -> None:
    """Whoever follows would else read of a load with a fault that it is done, and that nothing was found."""
    result = run(Request(str(model), 2, "dummy"), save=tmp_path / "t.db", loader=SkipsARow)
    with closing(result.store):
        errors = sum(finding.severity == "error" for finding in result.findings)
    assert told[-1].state == "done" and told[-1].findings["error"] == errors > 0
    assert not any("error" in each.findings for each in told[:-1])


def test_a_trace_that_is_not_saved_is_not_told_of(model: Path, told: list[Standing]) -> None:
    run(Request(str(model), load_format="dummy")).store.close()
    assert told == []


def test_where_the_record_cannot_be_written_the_load_goes_on(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with closing(run(Request(str(model), load_format="dummy"), tmp_path / "full.db").store) as store:
        assert store.end is not None
    monkeypatch.setattr(live, "live_name", lambda partial: tmp_path / "no" / "such" / "folder")
    with closing(run(Request(str(model), load_format="dummy"), tmp_path / "refused.db").store) as store:
        assert store.end is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.db", "refused.db"]


TABLES = "name", "tensor", "param", "box", "move", "pad"


def rows(path: Path) -> list[list[tuple[Any, ...]]]:
    """What was loaded and what was moved, with all numbers."""
    with closing(sqlite3.connect(path)) as db:
        return [db.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall() for table in TABLES]


def test_the_trace_is_the_same_byte_for_byte_whether_anybody_is_told_or_not(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "End", lambda *_: End(1, 2, 3, 4, 5.0, 6))  # all that differs between two loads
    saved = [tmp_path / "told.db", tmp_path / "silent.db"]
    run(Request(str(model), 2, load_format="dummy"), saved[0]).store.close()
    monkeypatch.setattr(Live, "_claimed", lambda self: None)
    run(Request(str(model), 2, load_format="dummy"), saved[1]).store.close()
    assert saved[0].read_bytes() == saved[1].read_bytes()


def in_two_widths(folder: Path) -> Path:
    """The small Llama, all of its second layer stored in half as many bytes as the first."""
    (file,) = small_llama.write(folder).glob("*.safetensors")
    tensors = load_file(file)
    save_file({name: t.half() if ".layers.1." in name else t for name, t in tensors.items()}, file)
    return folder


def read_by_then(store: Store) -> list[int]:
    """Bytes that rank 0 had read after none of its moves, after one, after two ..."""
    widths = {tensor.name: tensor.nbytes // prod(tensor.shape) for tensor in store.tensors()}
    moves = ((move.tensor, prod(len(range(*each)) for each in move.src)) for move in store.moves(0))
    return [0, *accumulate(widths[tensor] * elements for tensor, elements in moves)]


def test_what_ranks_in_processes_note_is_counted_while_they_load_and_written_as_on_the_meta_device(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, told: list[Standing], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = in_two_widths(tmp_path_factory.mktemp("two widths"))
    monkeypatch.setenv("PACE", "0.07")
    with closing(run(Request(str(model), device="cpu"), tmp_path / "t.db", faulty_ranks.TakesItsTime).store) as store:
        (end,) = stored_shares(store)
        read = read_by_then(store)
    shares = [share for standing in told for share in standing.shares]
    moves = [share.moves for share in shares]
    assert moves == sorted(moves)
    assert len(set(moves)) > 2, "it was seen to rise"
    for share in shares:
        assert (share.planned_moves, share.planned_bytes) == (end.moves, end.nbytes)
        assert share.nbytes == read[share.moves]
    run(Request(str(model), load_format="dummy"), tmp_path / "meta.db").store.close()
    assert rows(tmp_path / "t.db") == rows(tmp_path / "meta.db")


# --- who is there ---


def test_a_record_is_seen_as_alive_until_its_writer_lets_go_and_its_last_word_is_read_after_that(
    tmp_path: Path,
) -> None:
    writer = Live(partial_of(tmp_path / "t.db"))
    (record,) = records_of(tmp_path / "t.db")
    with closing(Sight(record)) as sight:
        assert sight.alive()
        writer.end("failed", "why")
        assert not record.exists()
        last = sight.read()
        assert sight.alive() is False
    assert last is not None
    assert (last.state, last.reason) == ("failed", "why")


def test_that_nobody_can_be_seen_is_said_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    writer = Live(partial_of(tmp_path / "t.db"))
    (record,) = records_of(tmp_path / "t.db")
    with closing(writer), closing(Sight(record)) as sight:
        assert sight.alive() is None


def test_the_records_of_other_names_are_not_taken_for_ones_own(tmp_path: Path) -> None:
    for name in (".t.db.12", ".t.db.x", ".t.db.2.12", ".u.db.12", "t.db.1"):
        (tmp_path / f"{name}.progress").touch()
    assert [path.name for path in records_of(tmp_path / "t.db")] == [".t.db.12.progress"]


def test_a_link_in_place_of_the_record_is_not_written_through(tmp_path: Path) -> None:
    precious, partial = tmp_path / "precious", partial_of(tmp_path / "t.db")
    precious.write_text("precious")
    partial.with_suffix(".progress").symlink_to(precious)
    with closing(Live(partial)) as writer:
        assert writer.told
        assert precious.read_text() == "precious"
