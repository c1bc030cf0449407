"""Slice maps as rectangles, against the numbers of the moves that they are drawn from."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.mappings.small import CONFIGS
from tests.tui.model import material
from tracer import session
from tracer.prepare import Request, prepare
from tracer.report.html import page
from tracer.report.html.experts import SIZES
from tracer.report.html.pictures import GEOMETRY, drawn
from tracer.report.html.view import Picture
from tracer.slices.picture import SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.spans import Segment

ROOM = GEOMETRY.width - GEOMETRY.left - GEOMETRY.right

W13_GPT_OSS = "model.layers.0.mlp.experts.routed_experts.w13_weight"


def map_of(geometry: str, tp: int, param: str) -> Picture:
    prepared = prepare(Request(geometry=geometry, tp=tp, plan_only=True))
    found = drawn(picture(Placed(prepared, tp), param), range(tp))
    assert found is not None
    return found


def test_parts_are_as_wide_as_they_are_long_and_lie_beside_each_other() -> None:
    whole, *_ = map_of("llama-3-8b", 4, "model.layers.0.self_attn.qkv_proj.weight").rows
    assert [block.label for block in whole.blocks] == ["q 4096", "k 1024", "v 1024"]
    lengths = [ROOM * n / 6144 for n in (4096, 1024, 1024)]
    assert [block.width for block in whole.blocks] == pytest.approx(lengths, abs=0.1)
    assert [a.x + a.width for a in whole.blocks[:-1]] == pytest.approx([b.x for b in whole.blocks[1:]], abs=0.2)
    assert len({block.part for block in whole.blocks}) == 3


def test_the_ranks_tile_what_is_cut() -> None:
    _, *ranks = map_of("llama-3-8b", 4, "model.layers.0.mlp.gate_up_proj.weight").rows
    for part in (0, 1):
        blocks = [next(block for block in rank.blocks if block.part == part) for rank in ranks]
        assert all(a.x + a.width == pytest.approx(b.x, abs=0.2) for a, b in pairwise(blocks))
        assert sum(block.width for block in blocks) == pytest.approx(ROOM / 2, abs=0.5)
    assert [rank.blocks[1].told.split(" of ")[0] for rank in ranks] == [
        f"up {n * 3584}:{(n + 1) * 3584}" for n in range(4)
    ]  # fmt: skip


def test_heads_that_several_ranks_hold_are_marked_by_more_than_colour() -> None:
    found = map_of("llama-3-8b", 16, "model.layers.0.self_attn.qkv_proj.weight")
    kinds = {block.told.split()[0]: block.kind for rank in found.rows[1:] for block in rank.blocks}
    assert kinds == {"q": "held", "k": "shared", "v": "shared"}
    assert "hatched: several ranks hold the same" in found.notes
    assert found.rows[3].blocks[1].told.endswith("held by ranks 2, 3")


def test_a_run_of_one_rank_shows_that_rank_and_says_that_the_others_are_planned() -> None:
    request = Request(geometry="llama-3-8b", tp=4, rank=3, load_format="dummy")
    found = {param.name: param.picture for param in page.of_result(session.run(request)).params}
    head = found["lm_head.weight"]
    assert head and head.notes == ["rank 3 of 4 is known; the others are as planned"]
    assert [row.label for row in head.rows] == ["whole", "rank 3"]
    assert [block.label for block in head.rows[1].blocks] == ["96192:128256"] and head.rows[0].blocks[0].width == ROOM
    untold = replace(picture(Placed(prepare(request), 4), "lm_head.weight"), ranks=(3,), planned=False)
    alone = replace(untold.bands[0], segments=(Segment(0, 32064, (3,)),), length=32064)
    on_page = drawn(replace(untold, bands=(alone,)), range(4))
    assert on_page and on_page.notes == ["rank 3 of 4 is known; the others are not"]


@pytest.mark.parametrize(("tp", "shown"), [(32, 32), (128, 128), (256, 128)])
def test_every_rank_has_a_line_up_to_128_and_the_others_are_named(tp: int, shown: int) -> None:
    heads = '{"num_attention_heads": 256, "head_dim": 16}'
    request = Request(tp=tp, load_format="dummy", plan_only=True, overrides=heads)
    found = page.of_result(session.run(request, told=session.Told(ranks=2)))
    maps = [param.picture for param in found.params if param.picture and len(param.picture.rows) > 1]
    assert len(maps) >= 5
    for map in maps:
        assert [row.label for row in map.rows] == ["whole", *(f"rank {rank}" for rank in range(shown))]
        assert ("128 ranks without a line: 128..255" in map.notes) == (tp > shown)
    assert ("128 more ranks" in found.cut) == (tp > shown)


def test_padding_stands_behind_the_last_position() -> None:
    found = map_of("gpt2", 4, "transformer.wte.weight")
    *others, last = found.rows[1:]
    assert [block.kind for block in last.blocks] == ["held", "pad"]
    assert last.blocks[1].x > last.blocks[0].x + last.blocks[0].width
    assert {block.kind for rank in others for block in rank.blocks} == {"held"}
    assert any(note.startswith("dotted: ") for note in found.notes)


@pytest.mark.parametrize(
    ("geometry", "tp", "param"),
    [("llama-3-8b", 16, "model.layers.0.self_attn.qkv_proj.weight"),
     ("falcon-40b", 8, "transformer.h.0.self_attention.query_key_value.weight")],
)  # fmt: skip
def test_labels_stand_where_there_is_room_and_nowhere_else(geometry: str, tp: int, param: str) -> None:
    found = map_of(geometry, tp, param)
    for row in found.rows:
        for block, after in zip(row.blocks, [*row.blocks[1:], None], strict=True):
            begin = block.x + (block.width if block.beside else 0)
            end = after.x if after and block.beside else GEOMETRY.width if block.beside else block.x + block.width
            assert not block.label or begin + 6 * len(block.label) <= end
    assert any(block.label and block.beside for row in found.rows for block in row.blocks)


def test_parts_that_alternate_on_disk_are_told_as_the_pieces_that_they_are() -> None:
    """BLOOM has q, k and v of 64 rows head by head: rank 1 of 2 begins with head 8 of 16."""
    found = map_of("bloom-560m", 2, "transformer.h.0.self_attention.query_key_value.weight")
    assert [block.told.split(" of ")[0] for block in found.rows[2].blocks] == [
        f"{part} {8 * 192 + 64 * n}:{8 * 192 + 64 * (n + 1)} x8 every 192" for n, part in enumerate("qkv")
    ]  # fmt: skip


def gpt_oss(tp: int) -> Picture:
    unpacked = '{"quantization_config": null}'
    prepared = prepare(Request(geometry="gpt-oss-20b", tp=tp, plan_only=True, overrides=unpacked))
    found = drawn(picture(Placed(prepared, tp), W13_GPT_OSS), range(tp))
    assert found is not None
    return found


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_parts_that_alternate_in_the_parameter_are_stripes_that_tile_what_a_rank_holds(tp: int) -> None:
    found = gpt_oss(tp)
    for row, ranks in zip(found.rows, (1, *[tp] * tp), strict=False):
        gate, up = row.blocks
        stripes = sorted([*((*stripe, "gate") for stripe in gate.stripes), *((*stripe, "up") for stripe in up.stripes)])
        assert [part for *_, part in stripes] == ["gate", "up"] * len(gate.stripes) and len(gate.stripes) >= 32 // ranks
        assert all(a + width == pytest.approx(b, abs=0.2) for (a, width, _), (b, *_) in pairwise(stripes))
        assert stripes[-1][0] + stripes[-1][1] - stripes[0][0] == pytest.approx(ROOM / ranks, abs=0.5)
        assert gate.part != up.part and gate.turn < up.turn


def test_parts_that_alternate_say_so_and_share_a_label() -> None:
    found = gpt_oss(4)
    assert any("gate, up in turn: every second row, of which a few are drawn" in note for note in found.notes)
    assert [block.label for block in found.rows[1].blocks] == ["gate 0:1439:2, up 1:1440:2", ""]
    assert found.rows[2].blocks[1].told.startswith("up 1441:2880:2 of ")


def test_experts_that_are_alike_are_one_picture() -> None:
    found = map_of("mixtral-8x7b", 2, "model.layers.0.block_sparse_moe.experts.routed_experts.w13_weight")
    assert "expert 0 of 8, which are all alike" in found.notes


def experts_of(placed: dict[tuple[int, int], int], tp: int = 2) -> SliceMap:
    """DeepSeek-V2-Lite's, where on some ranks (expert, rank) so many elements too few or too many were placed."""
    prepared = prepare(Request(geometry="deepseek-v2-lite", tp=tp, plan_only=True))
    whole = picture(Placed(prepared, tp), "model.layers.1.mlp.experts.routed_experts.w13_weight")
    assert whole.experts and len(whole.experts.cells) == 64
    cells = []
    for cell in whole.experts.cells:
        own = enumerate(cell.elements)
        cells.append(replace(cell, elements=tuple(n + placed.get((cell.number, rank), 0) for rank, n in own)))
    return replace(whole, experts=replace(whole.experts, cells=tuple(cells)))


def test_every_expert_has_a_cell_that_tells_its_state_by_its_shape() -> None:
    map = experts_of({(9, 0): -1, (9, 1): -1, (11, 1): 5})
    found = drawn(map, range(2))
    assert found and map.experts
    for rank, grid in enumerate(found.grids):
        assert [cell.state for cell in grid.cells] == [map.experts.state(cell, rank) for cell in map.experts.cells]
        assert len({(cell.x, cell.y) for cell in grid.cells}) == 64 and grid.cells[0].chosen
        assert max(cell.x for cell in grid.cells) + SIZES.cell <= GEOMETRY.width
        assert all(cell.y + SIZES.row <= grid.height for cell in grid.cells)
    assert [grid.told for grid in found.grids] == [
        "■ 63 whole; ◧ 1 only partly placed: 9",
        "■ 62 whole; ◧ 1 only partly placed: 9; ▣ 1 placed more than once: 11",
    ]  # fmt: skip
    assert found.grids[1].cells[11].told == "expert 11: placed more than once on rank 1"


def test_ranks_that_have_the_same_experts_share_a_grid() -> None:
    found = drawn(experts_of({}, 4), range(4))
    assert found and [grid.who for grid in found.grids] == ["ranks 0..3"]
    found = drawn(experts_of({(3, 2): -1}, 4), range(4))
    assert found and [grid.who for grid in found.grids] == ["ranks 0..3 except 2", "rank 2"]


def test_ranks_that_all_differ_have_eight_grids_and_the_others_are_named() -> None:
    map = experts_of({(rank, rank): -1 for rank in range(16)}, 16)
    found = drawn(map, range(16))
    assert found and len(found.grids) == 8
    assert "ranks 8..15 have each some other experts: --json has all" in found.notes


def test_an_expert_of_which_nothing_came_is_drawn_though_it_has_no_slices() -> None:
    found = drawn(replace(experts_of({(0, 0): -1}), bands=()), range(2))
    assert found and not found.rows and found.grids[0].cells[0].state == "partly"


def test_what_every_rank_holds_whole_needs_no_picture() -> None:
    prepared = prepare(Request(tp=2, plan_only=True))
    assert drawn(picture(Placed(prepared, 2), "model.norm.weight"), range(2)) is None


def test_a_group_of_which_one_layer_lacks_a_part_is_drawn_as_most_are_and_the_other_below(tmp_path: Path) -> None:
    lost, tensors = "model.layers.2.self_attn.q_proj.weight", material.tensors_of("llama")
    config = {**CONFIGS["llama"].config, "num_hidden_layers": 4}
    layers = [t._replace(name=t.name.replace(".0.", f".{n}.")) for t in tensors if ".0." in t.name for n in range(4)]
    rest = [t for t in tensors if not t.name.startswith("model.layers.")]
    material.write(tmp_path, config, [t for t in [*rest, *layers] if t.name != lost])
    found = page.of_result(session.run(Request(str(tmp_path), 2, plan_only=True)))
    (param,) = [param for param in found.params if "qkv_proj" in param.name]
    (other,) = param.others
    assert param.picture and param.picture.of.startswith("model.layers.0.") and other.of.startswith("model.layers.2.")
    assert f"not like it: {other.of}" in param.picture.notes
    assert [each.x for each in other.rows[0].blocks] == [each.x for each in param.picture.rows[0].blocks]
    for row in other.rows:
        assert [block.kind for block in row.blocks] == ["gap", "held", "held"]
        assert row.blocks[0].label == "╳ q: no source" and lost in row.blocks[0].told
    assert not any(param.others for param in found.params if "qkv_proj" not in param.name)
