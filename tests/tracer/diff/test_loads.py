"""Two loads: the same where each element goes to the same place, in however many moves; else what went elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.views import Box, Ranges
from tests import placements, sabotage, small_llama, vllm_traces
from tracer.cli import main, trace_load
from tracer.diff.loads.compare import LoadComparison, compare
from tracer.diff.loads.pieces import merged, same_elements
from tracer.diff.loads.placements import Load
from tracer.diff.loads.telling import groups, sentence
from tracer.events import Move, Parameter, Run, Tensor
from tracer.session import Request, run
from tracer.store import Store, add_events

K = "model.layers.1.self_attn.k_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.write(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def load(folder: Path) -> Callable[..., Store]:
    """A load on the meta device, by this engine or by a faulty one."""

    def loaded(tp: int = 2, loader: Any = None) -> Store:
        return run(Request(str(folder), tp, load_format="dummy"), loader=loader).store

    return loaded


def against(a: Store, b: Store) -> LoadComparison:
    return compare(Load("A", "a", a), Load("B", "b", b))


def test_a_load_is_itself(load: Callable[..., Store]) -> None:
    found = against(load(), load())
    assert found.same
    assert sentence(found) == "the same load: 21 tensors go to the same places on 2 ranks, element by element"


def test_at_another_tp_the_same_elements_go_to_the_same_parameters(load: Callable[..., Store]) -> None:
    found = against(load(1), load(2))
    assert found.same
    assert sentence(found).startswith("the same load at another tp, 1 and 2: each of 21 tensors goes to the same")


def test_exchanged_parts_have_the_same_source_and_another_destination(load: Callable[..., Store]) -> None:
    found = against(load(), load(loader=sabotage.ExchangesQAndK))
    assert sentence(found) == (
        "same source, different destination: on ranks 0, 1 model.layers.1.self_attn.k_proj.weight goes to qkv_proj"
        " [32:64] in A, qkv_proj [0:32] in B: 1 tensor; 1 difference more"
    )


def test_a_row_that_was_skipped(load: Callable[..., Store]) -> None:
    told = sentence(against(load(), load(loader=sabotage.SkipsARow)))
    assert told == (
        f"moves that B lacks: on rank 0 {K} moved only in A: [0:32] -> qkv_proj [32:64]: 1 tensor; 1 difference more"
    )
    assert sentence(against(load(loader=sabotage.SkipsARow), load())).startswith("moves that A lacks:")


def test_every_rank_with_the_slice_of_rank_0_has_another_source_on_rank_1(load: Callable[..., Store]) -> None:
    found = against(load(), load(loader=sabotage.EveryRankIsRankZero))
    (difference,) = found.differences
    assert (difference.what, difference.rank) == ("source", 1)
    assert sentence(found) == (
        "same destination, different source: on rank 1 model.layers.1.self_attn.o_proj.weight [:, 32:64] -> o_proj all"
        " in A, [:, 0:32] -> o_proj all in B: 1 tensor"
    )


def test_a_transposed_source_is_told(load: Callable[..., Store]) -> None:
    found = against(load(), load(loader=sabotage.TransposesTheSource))
    assert {difference.subject for difference in found.differences} == {"model.layers.1.self_attn.o_proj.weight"}
    assert "transposed" in sentence(found)


def test_an_other_dtype_of_a_parameter(load: Callable[..., Store]) -> None:
    told = sentence(against(load(), load(loader=sabotage.AllocatesAnotherType)))
    name = "model.layers.1.self_attn.o_proj.weight"
    assert told.startswith(f"other parameters: on ranks 0, 1 {name} F32 (64, 32) in A, F16")


def test_differences_fold_over_layers_and_ranks(load: Callable[..., Store]) -> None:
    good, bad = load(), Store.new()
    _copy(good, bad, lambda move: None if "v_proj" in move.tensor else move)
    found = groups(against(good, bad))
    assert [(group.name, group.tensors, group.ranks) for group in found] == [
        ("model.layers.{0, 1}.self_attn.v_proj.weight", 2, rank) for rank in "01"
    ]
    assert len(groups(against(good, bad), whole=True)) == 4


def _copy(store: Store, into: Store, change: Callable[[Move], Move | None]) -> None:
    into.set_run(store.run)
    into.add_tensors(store.tensors())
    for rank in store.run.ranks:
        into.add_params(store.params(rank))
        add_events(into, [moved for move in store.moves(rank) if (moved := change(move))])
        into.add_pads(store.pads(rank))


# --- one move or three ---


def test_moves_cut_in_three_are_the_same_load(load: Callable[..., Store]) -> None:
    whole, cut = load(), Store.new()
    cut.set_run(whole.run)
    cut.add_tensors(whole.tensors())
    for rank in whole.run.ranks:
        cut.add_params(whole.params(rank))
        add_events(cut, [piece for move in whole.moves(rank) for piece in reversed(list(_thirds(move)))])
        cut.add_pads(whole.pads(rank))
    found = against(whole, cut)
    assert found.same
    moves = f"in {whole.count('move')} moves in A and {cut.count('move')} in B"
    assert sentence(found).endswith(f"element by element, {moves}")


def _thirds(move: Move) -> Iterator[Move]:
    """A move in three along its first dimension."""
    rows = move.src[0][1] - move.src[0][0]
    edges = [0, rows // 3, rows // 2, rows]
    for low, high in pairwise(edges):
        src, dst = (((r[0][0] + low, r[0][0] + high, 1), *r[1:]) for r in (move.src, move.dst))
        yield Move(move.rank, move.tensor, move.row, move.shard, move.param, src, dst, move.perm, move.op)


EDGES = st.sets(st.integers(1, 11), max_size=4).map(lambda found: [0, *sorted(found), 12])


@given(EDGES, EDGES, EDGES, EDGES, st.booleans())
def test_however_a_block_is_cut_it_is_the_same_elements(
    rows: list[int], columns: list[int], other_rows: list[int], other_columns: list[int], lost: bool
) -> None:
    one, other = _grid(rows, columns), _grid(other_rows, other_columns)[int(lost) :]
    shape = (12, 12)
    same = merged(one) == merged(other) or same_elements(one, other, shape, (12, 24), (12, 24)) if other else False
    assert same is (not lost)


def _grid(rows: list[int], columns: list[int]) -> list[Box]:
    """A matrix that goes to the right half of one twice as wide, cut at these edges."""
    return [
        Box(((a, b, 1), (c, d, 1)), ((a, b, 1), (c + 12, d + 12, 1)), None)
        for a, b in pairwise(rows) for c, d in pairwise(columns)
    ]  # fmt: skip


# --- another tool's traces ---


@pytest.mark.parametrize("tp", [1, 2])
@pytest.mark.parametrize("key", ["LlamaForCausalLM", "MixtralForCausalLM", "GPT2LMHeadModel-hub", "BloomForCausalLM"])
def test_the_load_that_vllm_was_seen_to_do_is_ours(key: str, tp: int, tmp_path: Path) -> None:
    trace = vllm_traces.trace(key, tp)
    shapes = {name: tuple(shape) for name, shape in trace["checkpoint"].items()}
    path = placements.write_checkpoint(tmp_path / key, trace["config"], placements.number(shapes))
    ours = run(Request(str(path), tp, load_format="dummy")).store
    found = against(ours, _of_vllm(ours, trace))
    assert [difference for difference in found.differences if difference.what not in ("param", "pad")] == []
    assert not found.unchecked
    told = sentence(found)
    assert "by engine and vllm" in told


def _of_vllm(ours: Store, trace: dict[str, Any]) -> Store:
    """An observation of vLLM as a trace of its own: its moves, with rows that it does not know."""
    store = Store.new()
    own = ours.run
    store.set_run(Run(own.model, own.architecture, own.tp, "safetensors", "vllm", own.ranks, True))
    seen = list(ours.tensors())
    store.add_tensors(Tensor(t.name, t.dtype, t.shape, None, None, t.nbytes, "loaded", "vllm", None) for t in seen)
    for rank, found in enumerate(trace["ranks"]):
        dtypes = {param.name: param.dtype for param in ours.params(rank)}
        for name, param in found["params"].items():
            if param.get("buffer"):
                continue
            store.add_params([Parameter(rank, name, tuple(param["shape"]), dtypes.get(name, "F32"), False, None)])
            add_events(store, [_move(rank, name, block) for block in param["blocks"]])
    return store


def _move(rank: int, name: str, block: dict[str, Any]) -> Move:
    op = block.get("op") or {}
    order = op.get("permute")
    src, dst = (_ranges(block[key]) for key in ("src_index", "dst_index"))
    return Move(rank, block["src"], "vllm", None, name, src, dst, tuple(order) if order else None, None)


def _ranges(index: list[list[int]]) -> Ranges:
    return tuple((r[0], r[1], r[2] if len(r) > 2 else 1) for r in index)


# --- the command ---


def test_the_command_reads_stores_and_lines(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, lines = str(tmp_path / "a.db"), str(tmp_path / "b.jsonl")
    trace_load([str(folder), "--tp", "2", "--load-format", "dummy", "--save", store, "--json", lines, "--quiet"])
    capsys.readouterr()
    assert main(["diff", store, lines, "--exit-code"]) == 0
    assert capsys.readouterr().out.startswith("the same load: 21 tensors")
    assert main(["diff", store, lines, "--json", "-"]) == 0
    head = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (head["kind"], head["same"]) == ("verdict", True)


def test_a_trace_and_a_checkpoint_are_not_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "a.db"
    run(Request(str(folder), load_format="dummy"), save=store)
    assert main(["diff", str(store), str(folder)]) == 2
    told = f"{store} is a trace of a load and {folder} is a checkpoint: expected two of one kind"
    assert told in capsys.readouterr().err
    assert main(["diff", str(store), str(store), "--values"]) == 2


def test_a_cut_trace_is_told_to_be_one(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "b.jsonl"
    trace_load([str(folder), "--load-format", "dummy", "--json", str(lines), "--quiet"])
    kept = lines.read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(line for line in kept if '"kind": "end"' not in line))
    (tmp_path / "damaged.jsonl").write_text(kept[0] + kept[1][: len(kept[1]) // 2])
    capsys.readouterr()
    assert main(["diff", str(lines), str(tmp_path / "cut.jsonl")]) == 0
    assert "not checked: end of B (the trace was cut short)" in capsys.readouterr().out
    assert main(["diff", str(tmp_path / "cut.jsonl"), str(tmp_path / "cut.jsonl"), "--exit-code"]) == 1
    capsys.readouterr()
    assert main(["diff", str(lines), str(tmp_path / "damaged.jsonl")]) == 2
    error = capsys.readouterr().err
    assert "damaged.jsonl: line 2" in error
    assert error.count("\n") == 1


def test_ranks_that_neither_trace_is_of_are_said_not_to_be_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = [tmp_path / "a.db", tmp_path / "b.db"]
    for path in saved:
        asked = [str(folder), "--tp", "2", "--rank", "1", "--load-format", "dummy", "--save", str(path)]
        assert trace_load(asked) == 0
    capsys.readouterr()
    assert main(["diff", "--exit-code", *map(str, saved)]) == 0
    told = capsys.readouterr().out
    assert "not checked: other ranks (0 of 2: neither trace is of them)" in told


def test_ids_move_where_the_moves_say(load: Callable[..., Store]) -> None:
    """What `diff` calls the same load gives the same parameters when its moves are applied."""
    store = load(1)
    shapes = {tensor.name: tensor.shape for tensor in store.tensors()}
    numbered = placements.number(shapes)
    params = {param.name: param.shape for param in store.params(0)}
    ours = placements.apply_moves(store.moves(0), params, numbered)
    cut = [piece for move in store.moves(0) for piece in _thirds(move)]
    theirs = placements.apply_moves(cut, params, numbered)
    assert all(np.array_equal(ours[name], theirs[name]) for name in params)


@pytest.fixture(scope="module")
def plan(folder: Path) -> Callable[..., Store]:
    """What a load would do, on one of its ranks or on all."""

    def planned(tp: int, rank: int | None = None) -> Store:
        return run(Request(str(folder), tp, plan_only=True, rank=rank)).store

    return planned


def test_of_a_trace_of_one_rank_that_rank_is_the_same(plan: Callable[..., Store]) -> None:
    found = against(plan(2, 1), plan(2))
    assert not found.same and not found.differences, "the other rank was not compared"
    assert sentence(found) == (
        "not all compared, and nothing differs in what was: 21 tensors on rank 1, element by element"
    )


def test_traces_without_a_rank_in_common_are_neither_the_same_nor_different(plan: Callable[..., Store]) -> None:
    found = against(plan(2, 0), plan(2, 1))
    assert not found.same and not found.differences
    assert sentence(found) == "nothing to compare: the traces have no rank in common ([0], [1])"


def test_of_one_rank_it_cannot_be_told_what_all_ranks_read_at_another_tp(plan: Callable[..., Store]) -> None:
    for a, b, letter in ((plan(2, 1), plan(1), "A"), (plan(1), plan(2, 1), "B")):
        found = against(a, b)
        assert not found.same and not found.differences
        assert sentence(found).startswith("nothing to compare: ") and f"{letter} has [1] of 2" in sentence(found)
