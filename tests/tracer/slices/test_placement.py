"""What a plan says of one tensor at a time, against what a trace of the same load has."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mappings.plan import LoadPlan, plan
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, bind
from tracer.events import Move
from tracer.prepare import Request, prepare
from tracer.report.html import pictures as html
from tracer.session import run
from tracer.slices.observed import Observed
from tracer.slices.picture import picture
from tracer.slices.placed import Placed
from tracer.slices.placement import Placement, volume
from tracer.slices.spans import Segment
from tracer.store import Store
from tui.model.line import plain
from tui.model.slicemap.drawing import map_lines

W13 = "model.layers.0.block_sparse_moe.experts.routed_experts.w13_weight"
LLAMA = Request(load_format="dummy", plan_only=True)


def request(name: str, folder: Path, tp: int, plan_only: bool = True) -> Request:
    (folder / "config.json").write_text(json.dumps(dict(CONFIGS[name].config)))
    return Request(str(folder), tp, "dummy", plan_only=plan_only)


def store_of(name: str, folder: Path, tp: int, plan_only: bool = True) -> Store:
    return run(request(name, folder, tp, plan_only)).store


def params(planned: LoadPlan) -> list[str]:
    return [name for name, _ in planned.params()]


def accounts(places: Placement, tensors: list[str], names: list[str]) -> dict[str, object]:
    """Everything that can be asked, as one value."""
    return {
        "moves": {t: places.moves(t) for t in tensors}, "claims": {t: places.claim(t) for t in tensors},
        "pads": {p: places.pads(p) for p in names}, "feeding": {p: places.feeding(p) for p in names},
        "shapes": {p: [places.shape(p, rank) for rank in places.ranks] for p in names},
        "whole": {p: places.whole_shape(p) for p in names}, "tied": {p: places.tied(p) for p in names},
        "aliases": {p: places.aliases(p) for p in names}, "experts": {p: places.experts(p) for p in names},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["llama tied", "mixtral", "gpt-oss", "bloom", "deepseek v3 in fp8"])
def test_a_trace_of_the_planned_moves_gives_the_same_account_and_the_same_pictures(name: str, tmp_path: Path) -> None:
    planned = Placed(prepare(request(name, tmp_path, 1)), 4)
    observed = Observed(store_of(name, tmp_path, 4))
    tensors, names = [t.name for t in planned.plan.tensors], [*params(planned.plan), *planned.plan.tied()]
    assert accounts(observed, tensors, names) == accounts(planned, tensors, names)
    assert [picture(observed, p, 1) for p in names] == [picture(planned, p, 1) for p in names]


@pytest.mark.parametrize("name", ["qwen2", "gpt-oss"])
def test_what_the_engine_was_seen_to_do_makes_the_pictures_of_the_plan(name: str, tmp_path: Path) -> None:
    observed = Observed(store_of(name, tmp_path, 2, plan_only=False))
    assert observed.store.run.observed
    planned = Placed(prepare(request(name, tmp_path, 1)), 2)
    names = params(planned.plan)
    assert [picture(observed, p) for p in names] == [picture(planned, p) for p in names]


def test_what_one_rank_never_wrote_is_a_gap_in_the_picture_of_a_trace(tmp_path: Path) -> None:
    store = store_of("llama tied", tmp_path, 2, plan_only=False)
    whole = Observed(store)
    name = "model.layers.1.self_attn.qkv_proj.weight"
    before = {band.part: band for band in picture(whole, name).bands}
    store.db.execute("DELETE FROM move WHERE rank = 1 AND tensor = (SELECT id FROM name WHERE text = ?)",
                     (before["v"].tensor,))  # fmt: skip
    after = {band.part: band for band in picture(Observed(store), name).bands}
    assert (after["q"], after["k"]) == (before["q"], before["k"])
    lost, kept = before["v"].segments[1], before["v"].segments[0]
    assert after["v"].segments == (kept, Segment(lost.start, lost.stop, ()))
    assert [(s.start, s.stop) for s in after["v"].gaps] == [(lost.start, lost.stop)] and not before["v"].gaps


@pytest.mark.parametrize("ended", [True, False])
def test_moves_of_a_parameter_are_read_once_until_more_is_written(
    ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    run(request("mixtral", tmp_path, 2, plan_only=False), save=tmp_path / "t.db").store.close()
    writing = sqlite3.connect(tmp_path / "t.db")
    if not ended:
        writing.execute("DELETE FROM finish")
        writing.commit()
    store, asked = Store.open(tmp_path / "t.db"), list[str]()
    moves = store.moves

    def counted(param: str) -> Iterator[Move]:
        asked.append(param)
        return moves(param=param)

    monkeypatch.setattr(store, "moves", counted)
    observed = Observed(store)
    before = [picture(observed, W13, expert) for expert in range(3)]
    assert asked == [W13]
    writing.execute("DELETE FROM move WHERE rank = 1")
    writing.commit()
    assert picture(observed, W13).holding == [0] and before[0].holding == [0, 1]
    writing.close()
    store.close()


def test_a_move_of_a_rank_that_has_no_record_of_the_parameter_says_so(tmp_path: Path) -> None:
    store, name = store_of("llama tied", tmp_path, 2, plan_only=False), "model.norm.weight"
    store.db.execute("DELETE FROM param WHERE rank = 1")
    assert picture(Observed(store), name).refused == f"rank 1: no record says what it allocates for {name}"


def test_a_copy_that_one_rank_lacks_is_lost_though_another_rank_holds_it(tmp_path: Path) -> None:
    store = store_of("llama tied", tmp_path, 2, plan_only=False)
    name = "model.layers.1.input_layernorm.weight"
    before, of_it = picture(Observed(store), name), "(SELECT id FROM name WHERE text = ?)"
    assert before.whole and [band.lost for band in before.bands] == [()]
    store.db.execute(f"DELETE FROM move WHERE rank = 1 AND param = {of_it}", (name,))
    after = picture(Observed(store), name)
    assert (after.whole, after.holding, [band.lost for band in after.bands]) == (False, [0], [(1,)])
    lines = "\n".join(plain(line) for line in map_lines(after, 0, 80))
    assert "not cut, but on rank 0 alone" in lines and "✗ not all that is planned for rank 1" in lines
    on_page = html.drawn(after, range(2))
    assert on_page and "all of it: rank 1 lacks what is planned for it" in on_page.notes
    store.db.execute("DELETE FROM finish")
    lines = "\n".join(plain(line) for line in map_lines(picture(Observed(store), name), 0, 80))
    assert "not cut, recorded on rank 0 alone" in lines and "· not all recorded that is planned for rank 1" in lines


def test_a_trace_whose_config_is_unknown_still_has_its_pictures(tmp_path: Path) -> None:
    store = store_of("mixtral", tmp_path, 2)
    told, untold = Observed(store), Observed(store)
    untold.planned = None
    for param in params(prepare(request("mixtral", tmp_path, 2)).plan):
        assert picture(untold, param).bands == picture(told, param).bands, param
        assert untold.experts(param) == told.experts(param), param


@pytest.mark.parametrize("name", ["mixtral", "llama tied"])
def test_experts_and_ties_are_known_where_any_rank_has_a_record_of_them(name: str, tmp_path: Path) -> None:
    store = store_of(name, tmp_path, 2)
    whole = Observed(store)
    names = [param.name for param in store.params(1)]
    expected = {param: (whole.experts(param), whole.aliases(param)) for param in names}
    assert any(experts or aliases for experts, aliases in expected.values())
    for table in ("param", "move"):
        store.db.execute(f"DELETE FROM {table} WHERE rank = 0")
    rest = Observed(store)
    rest.planned = None
    assert {param: (rest.experts(param), rest.aliases(param)) for param in names} == expected
    assert all(picture(rest, param).ranks == (1,) for param in names)


@pytest.mark.parametrize("name", ["mixtral", "mixtral stacked", "gpt-oss", "deepseek v3 in fp8"])
def test_what_experts_are_said_to_hold_is_what_their_moves_place(name: str) -> None:
    binding = bind(name)
    places = Placed(plan(binding, synthesise(binding)), 2)
    stacked = [param for param in params(places.plan) if places.experts(param)]
    assert stacked
    for param in stacked:
        for expert, filled in enumerate(places.filled(param)):
            own = places.into(param, expert)
            assert filled.tensors == tuple(dict.fromkeys(move.tensor for move in own)), (param, expert)
            placed = [sum(volume(move.dst[1:]) for move in own if move.rank == rank) for rank in places.ranks]
            assert list(filled.elements) == placed, (param, expert)


def test_the_trace_of_one_rank_shows_that_rank(tmp_path: Path) -> None:
    asked = Request(**{**vars(request("llama", tmp_path, 4)), "rank": 2})
    observed = Observed(run(asked).store)
    drawn = picture(observed, "model.layers.0.self_attn.qkv_proj.weight")
    assert drawn.ranks == (2,) and drawn.tp == 4
    assert [share.source for band in drawn.bands for share in band.shares] == [((24, 36),), ((3, 6),), ((3, 6),)]


@pytest.mark.parametrize("name", ["llama", "mixtral", "bloom", "gpt-oss"])
def test_the_trace_of_one_rank_has_the_others_as_they_are_planned(name: str, tmp_path: Path) -> None:
    asked = Request(**{**vars(request(name, tmp_path, 2, plan_only=False)), "rank": 1})
    observed, planned = Observed(run(asked).store), Placed(prepare(request(name, tmp_path, 1)), 2)
    for param in params(planned.plan):
        one, all_of = picture(observed, param), picture(planned, param)
        assert (one.cut, one.holding, one.ranks) == (all_of.cut, all_of.holding, (1,)), param
        assert [(b.tensor, b.length, b.segments) for b in one.bands] == [
            (b.tensor, b.length, b.segments) for b in all_of.bands
        ], param  # fmt: skip
        assert [b.shares for b in one.bands] == [(b.share(1),) for b in all_of.bands], param
        assert one.known == "rank 1 of 2 is known; the others are as planned" and not all_of.known, param
        assert one.whole or not all_of.whole, param


@pytest.mark.parametrize("rank", [0, 3])
def test_nothing_is_called_whole_on_every_rank_where_one_rank_alone_is_known(rank: int, tmp_path: Path) -> None:
    asked = Request(**{**vars(request("llama", tmp_path, 4)), "rank": rank})
    observed = Observed(run(asked).store)
    observed.planned = None
    for param in params(prepare(request("llama", tmp_path, 4)).plan):
        drawn = picture(observed, param)
        assert not drawn.whole and (drawn.holding == [rank] or drawn.pads), param
        assert drawn.known == f"rank {rank} of 4 is known; the others are not", param


def test_a_rank_without_a_record_of_a_parameter_is_not_known_and_the_others_are_drawn(tmp_path: Path) -> None:
    store, name = store_of("llama tied", tmp_path, 2, plan_only=False), "model.layers.1.self_attn.qkv_proj.weight"
    before = picture(Observed(store), name)
    of_it = "(SELECT id FROM name WHERE text = ?)"
    store.db.execute(f"DELETE FROM param WHERE rank = 1 AND name = {of_it}", (name,))
    store.db.execute(f"DELETE FROM move WHERE rank = 1 AND param = {of_it}", (name,))
    after = picture(Observed(store), name)
    assert (after.ranks, after.cut) == ((0,), before.cut)
    assert [band.segments for band in after.bands] == [band.segments for band in before.bands]
    store.db.execute(f"DELETE FROM param WHERE name = {of_it}", (name,))
    assert picture(Observed(store), name).refused == f"no record says what ranks allocate for {name}"


def test_an_illegal_number_of_ranks_is_a_reason_and_no_picture() -> None:
    places = Placed(prepare(LLAMA), 3)
    refused = places.refusal()
    assert refused and "--tp 3 cannot cut ffn (intermediate_size): 14336 does not divide by 3" in refused
    assert places.legal == [1, 2, 4, 8, 16, 32] and [places.refusal(tp) for tp in places.legal] == [None] * 6
    assert places.moves("model.norm.weight") == [] and places.pads("model.embed_tokens.weight") == []
    drawn = picture(places, "model.layers.0.self_attn.qkv_proj.weight")
    assert drawn.refused == refused and drawn.bands == ()


@pytest.mark.parametrize("tp", [0, -1, 10**9])
def test_a_number_of_ranks_that_nobody_has_is_refused(tp: int) -> None:
    assert str(tp) in str(Placed(prepare(LLAMA), tp).refusal())


def test_a_trace_is_of_the_ranks_that_it_was_made_with(tmp_path: Path) -> None:
    observed = Observed(store_of("llama", tmp_path, 2))
    assert observed.refusal() is None and observed.refusal(2) is None
    assert observed.refusal(4) == "a trace shows what was loaded with --tp 2, and nothing of --tp 4"


def test_claims_name_the_line_of_the_table_or_the_reason() -> None:
    places = Placed(prepare(LLAMA), 2)
    claim = places.claim("model.layers.7.self_attn.q_proj.weight")
    assert (claim.kind, claim.pattern) == ("row", "model.layers.{layer}.self_attn.q_proj.weight")
    file, _, line = str(claim.source).partition(":")
    table = (Path("mappings/architectures") / file).read_text().splitlines()
    assert "self_attn.q_proj" in table[int(line) - 1]
    assert places.claim("model.layers.99.self_attn.q_proj.weight").reason == "no tensor of this name"


def test_what_is_tied_leads_to_the_picture_of_what_it_is_tied_to(tmp_path: Path) -> None:
    places = Placed(prepare(request("llama tied", tmp_path, 1)), 2)
    assert places.tied("lm_head.weight") == "model.embed_tokens.weight"
    assert places.aliases("model.embed_tokens.weight") == ["lm_head.weight"]
    head, table = picture(places, "lm_head.weight"), picture(places, "model.embed_tokens.weight")
    assert (head.tied_to, head.aliases, table.aliases) == (table.param, (), ("lm_head.weight",))
    assert (head.bands, head.pads, head.shapes) == (table.bands, table.pads, table.shapes)


def test_a_name_that_is_no_parameter_has_no_picture() -> None:
    assert picture(Placed(prepare(LLAMA), 2), "model.layers.99.mlp.gate.weight").refused is not None


def test_a_move_that_leaves_its_parameter_is_said_instead_of_drawn(tmp_path: Path) -> None:
    result = run(request("llama", tmp_path, 2))
    result.store.db.execute("UPDATE box SET dst = '[[0, 900000], [0, 10]]'")
    drawn = picture(Observed(result.store), "model.layers.0.self_attn.qkv_proj.weight")
    assert drawn.refused == (
        "rank 0: a move from model.layers.0.self_attn.q_proj.weight does not lie within "
        "model.layers.0.self_attn.qkv_proj.weight"
    )


def test_names_are_looked_up_once_for_all_numbers_of_ranks() -> None:
    first = Placed(prepare(LLAMA), 2)
    second = first.at(4)
    assert second.known is first.known and second.tp == 4
    assert {move.rank for move in second.moves("model.norm.weight")} == {0, 1, 2, 3}
