"""The store, the events and the graph: one trace, told in three ways, is the same trace."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.findings import Finding
from tracer import graph
from tracer.cli import trace_load
from tracer.errors import InputError, UsageError
from tracer.events import (
    End,
    Move,
    Padding,
    Parameter,
    Run,
    Tensor,
    from_json,
    ranges_from_json,
    ranges_to_json,
    to_json,
)
from tracer.reading import open_trace
from tracer.report import jsonl
from tracer.session import Request, Result, run
from tracer.store import Store

SPAN = st.tuples(st.integers(0, 99), st.integers(100, 199), st.integers(1, 4))
RANGES = st.lists(SPAN, min_size=0, max_size=4).map(tuple)
KEYS = {
    "run": {"schema", "tool", "model", "architecture", "tp", "load_format", "loader", "ranks", "observed"},
    "tensor": {"name", "dtype", "shape", "file", "offset", "nbytes", "disposition", "row", "reason"},
    "param": {"rank", "name", "shape", "dtype", "fused", "tied_to"},
    "move": {"rank", "tensor", "row", "shard", "param", "src", "dst", "perm", "op"},
    "pad": {"rank", "param", "dst", "value", "reason"},
    "finding": {"code", "severity", "subject", "rank", "message", "evidence", "fix"},
    "check": {"name", "state", "reason"},
    "end": {"tensors", "params", "moves", "findings", "seconds", "peak_rss_bytes"},
}
"""The keys of trace format 1, which are never renamed or dropped."""


@pytest.fixture(scope="module")
def result() -> Result:
    return run(Request(tp=2, load_format="dummy", geometry="gpt2"))


@given(RANGES)
def test_ranges_survive_their_json_form(ranges: tuple[tuple[int, int, int], ...]) -> None:
    assert ranges_from_json(json.loads(json.dumps(ranges_to_json(ranges)))) == ranges


@given(RANGES, RANGES, st.none() | st.permutations([0, 1, 2]).map(tuple), st.none() | st.integers() | st.text())
def test_a_move_survives_json_and_the_store(
    src: tuple[tuple[int, int, int], ...], dst: tuple[tuple[int, int, int], ...], perm: tuple[int, ...] | None,
    shard: str | int | None,
) -> None:  # fmt: skip
    from tracer.store import add_events

    move = Move(3, "a.0.b", "arch:row", shard, "c.0.d", src, dst, perm, "neg_exp")
    assert from_json(to_json(move)) == move
    store = Store.new()
    add_events(store, [move])
    assert list(store.moves()) == [move]


@pytest.mark.parametrize("event", [
    Run("m", "A", 2, "dummy", "engine", (0, 1), True), End(1, 2, 3, 4, 0.5, 6), Padding(0, "p", ((0, 1, 1),), 0.0, "r"),
    Tensor("t", "F32", (2, 3), "f", 8, 24, "loaded", "r", None), Parameter(0, "p", (2,), "F32", True, None),
    Finding("audit.unread", "error", "t", "m", {"n": 1}, None, 2),
])  # fmt: skip
def test_every_record_survives_json(event: Run | End | Padding | Tensor | Parameter | Finding) -> None:
    assert from_json(to_json(event)) == event


def test_readers_ignore_keys_and_kinds_that_they_do_not_know() -> None:
    assert from_json('{"kind": "end", "tensors": 1, "params": 1, "moves": 1, "findings": 0, "seconds": 1.0,'
                     ' "peak_rss_bytes": 1, "news": 2}') == End(1, 1, 1, 0, 1.0, 1)  # fmt: skip
    assert from_json('{"kind": "comment", "text": "x"}') is None


@pytest.mark.parametrize("line", ["", "[]", "{}", "nonsense", '{"kind": "move"}', "[" * 100_000])
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_json(line)


def test_json_lines_have_every_key_of_the_format_in_its_order() -> None:
    small = json.dumps({"num_hidden_layers": 2, "vocab_size": 1000, "num_key_value_heads": 1})
    result = run(Request(tp=2, load_format="dummy", overrides=small))
    records = [json.loads(line) for line in jsonl.records(result.store)]
    for record in records:
        assert next(iter(record)) == "kind"
        assert set(record) >= KEYS[record["kind"]]
    ranks = [r["rank"] for r in records if r["kind"] in ("param", "move", "pad")]
    assert ranks == sorted(ranks)
    kinds = [record["kind"] for record in records]
    assert kinds[0] == "run"
    assert kinds[-1] == "end"
    assert set(kinds) == set(KEYS)
    for rank in (0, 1):
        own = [r["kind"] for r in records if r.get("rank") == rank and r["kind"] != "finding"]
        assert own == sorted(own, key=["param", "move", "pad"].index)
    end = records[-1]
    assert [end[k] for k in ("tensors", "params", "moves", "findings")] == [
        kinds.count(k) for k in ("tensor", "param", "move", "finding")
    ]


def test_a_saved_store_is_the_same_trace_and_anyone_with_sql_can_read_it(tmp_path: Path) -> None:
    saved = tmp_path / "t.db"
    first = run(Request(tp=2, load_format="dummy", geometry="gpt2"), save=saved)
    again = Store.open(saved)
    assert list(jsonl.records(again)) == list(jsonl.records(first.store))
    db = sqlite3.connect(saved)
    query = "SELECT src FROM moves WHERE rank = 1 AND param = 'transformer.h.0.attn.c_attn.weight' ORDER BY id"
    assert db.execute(query).fetchone() == ("[[0,768],[384,768]]",)
    assert [file.name for file in tmp_path.iterdir()] == ["t.db"]


def test_an_unwritable_store_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        run(Request(load_format="dummy"), save=tmp_path / "no" / "t.db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_begun_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer.store.SCHEMA", "CREATE TABLE a (b); CREATE NONSENSE;")
    with pytest.raises(UsageError, match="cannot write"):
        Store.new(tmp_path / "t.db")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_refused_with_what_it_is(tmp_path: Path) -> None:
    other = tmp_path / "x.db"
    sqlite3.connect(other).execute("CREATE TABLE people (name TEXT)").connection.commit()
    with pytest.raises(InputError, match="people"):
        Store.open(other)


def test_the_graph_leads_from_the_file_to_the_slice() -> None:
    store = run(Request(tp=2, load_format="dummy", geometry="gpt2")).store
    found = graph.whole(store)
    assert isinstance(found, nx.MultiDiGraph)
    tensor, piece = ("tensor", "h.0.attn.c_attn.weight"), ("slice", "transformer.h.0.attn.c_attn.weight", 1)
    path = nx.shortest_path(found, tensor, ("param", "transformer.h.0.attn.c_attn.weight"))
    assert [node[0] for node in path] == ["tensor", "row", "param"]
    moves = [data for _, _, data in found.edges(tensor, data=True) if data.get("kind") == "move" and data["rank"] == 1]
    assert [data["shard"] for data in moves] == ["q", "k", "v"]
    assert found.number_of_edges(tensor, piece) == 3


def test_the_graph_around_a_node_is_the_part_of_the_whole_that_touches_it() -> None:
    store = run(Request(tp=2, load_format="dummy", geometry="mixtral-8x7b")).store
    name = "model.layers.3.self_attn.qkv_proj.weight"
    near = graph.around(store, name)
    assert {n[1].split(".")[-2] for n in near if n[0] == "tensor"} == {"q_proj", "k_proj", "v_proj"}
    assert {n[2] for n in near if n[0] == "slice"} == {0, 1}
    assert set(near.nodes) <= set(graph.whole(store).nodes)
    with pytest.raises(UsageError, match="no tensor and no parameter"):
        graph.around(store, "model.nothing")


def test_graphml_can_be_read_back(result: Result, tmp_path: Path) -> None:
    found = graph.around(result.store, "transformer.wte.weight")
    graph.write_graphml(found, tmp_path / "g.graphml")
    back = nx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)
    assert back.number_of_nodes() == found.number_of_nodes()
    assert back.number_of_edges() == found.number_of_edges()


def test_the_graph_knows_tied_parameters(result: Result) -> None:
    found = graph.whole(result.store)
    assert ("param", "lm_head.weight") in nx.descendants(found, ("tensor", "wte.weight"))


def test_checks_of_json_lines_are_kept_as_those_of_a_store_are(tmp_path: Path) -> None:
    saved, told = tmp_path / "t.db", tmp_path / "t.jsonl"
    assert trace_load(["--plan", "--quiet", "--save", str(saved), "--json", str(told)]) == 0
    with closing(open_trace(saved)) as store, closing(open_trace(told)) as lines:
        assert lines.checks() == store.checks() != []
