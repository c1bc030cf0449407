"""The slice map as text: it fits, it is to scale, and everything in it can be read without colours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from mappings.plan import plan
from mappings.synth import synthesise
from tests import sabotage, small_llama
from tests.mappings.small import CONFIGS, bind
from tracer.prepare import Request, prepare
from tracer.session import run
from tracer.slices.observed import Observed
from tracer.slices.picture import Band, SliceMap, picture
from tracer.slices.placed import Placed
from tracer.slices.spans import Segment
from tui.model.columns import wide
from tui.model.line import Line, Target, plain
from tui.model.slicemap.bands import FILLED, halves
from tui.model.slicemap.drawing import map_lines

WIDTHS = (60, 80, 120, 200)
QKV = "model.layers.0.self_attn.qkv_proj.weight"
W13 = "model.layers.0.block_sparse_moe.experts.routed_experts.w13_weight"
W13_GPT_OSS = "model.layers.0.mlp.experts.routed_experts.w13_weight"
BLOOM = "transformer.h.0.self_attention.query_key_value.weight"

DRAWN = """\
(6144, 4096) cut by rows over 2 ranks: (3072, 4096) on rank 0

    ╭─ 4,096 columns ──────────────────╮
q 0 │██████████████████████████████████│ model.layers.0.self_attn.q_proj.weight
    │██████████████████████████████████│ rows 0:2048 -> 0:2048
    │██████████████████████████████████│
    │██████████████████████████████████│
  1 │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│
    │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│
    │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│
    │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│
    ├──────────────────────────────────┤
k 0 │██████████████████████████████████│ model.layers.0.self_attn.k_proj.weight
  1 │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│ rows 0:512 -> 2048:2560
    ├──────────────────────────────────┤
v 0 │██████████████████████████████████│ model.layers.0.self_attn.v_proj.weight
  1 │░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│ rows 0:512 -> 2560:3072
    ╰──────────────────────────────────╯
     ██ rank 0   ░░ other ranks

▶ rank 0  q 0:2048     k 0:512     v 0:512
  rank 1  q 2048:4096  k 512:1024  v 512:1024"""


@cache
def small(name: str) -> Placed:
    binding = bind(name)
    return Placed(plan(binding, synthesise(binding)), 1)


@cache
def llama(tp: int) -> Placed:
    """The embedded geometry, in its real size."""
    return Placed(prepare(Request(load_format="dummy", plan_only=True)), tp)


def pictures(name: str, tp: int) -> list[SliceMap]:
    """One of each kind of parameter."""
    places = small(name).at(tp)
    leaves = {id(leaf): param for param, leaf in places.plan.params()}
    return [picture(places, param) for param in leaves.values()]


def text(lines: Sequence[Line]) -> str:
    return "\n".join(plain(line).rstrip() for line in lines)


def targets(lines: Sequence[Line]) -> set[Target]:
    return {span.target for line in lines for span in line if span.target}


@pytest.mark.parametrize("name", CONFIGS)
def test_no_line_is_wider_than_the_page(name: str) -> None:
    tp = max(tp for tp in CONFIGS[name].tp if tp <= 4)
    for drawn in pictures(name, tp):
        for width in WIDTHS:
            for line in map_lines(drawn, tp - 1, width):
                assert wide(plain(line)) <= width, (drawn.param, width, plain(line))


def test_parts_lie_below_each_other_with_their_sources_beside_them() -> None:
    assert text(map_lines(picture(llama(2), QKV), 0, 80)) == DRAWN


def test_columns_are_cut_across_below_the_numbers_of_the_ranks() -> None:
    lines = text(map_lines(picture(llama(4), "model.layers.0.self_attn.o_proj.weight"), 1, 80)).splitlines()
    assert lines[0] == "(4096, 4096) cut by columns over 4 ranks: (4096, 1024) on rank 1"
    ruler, first = lines[3], lines[4]
    assert ruler[first.index("█")] == "1" and [c for c in ruler if c.isdigit()] == ["0", "1", "2", "3"]
    assert "columns 1024:2048 -> 0:1024" in lines[5] and lines[4].split("│")[1] == lines[5].split("│")[1]


@pytest.mark.parametrize("tp", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("cells", [1, 2, 3, 8, 31, 64])
def test_a_share_is_drawn_to_scale_and_never_vanishes(tp: int, cells: int) -> None:
    for param in (QKV, "model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"):
        for band in picture(llama(tp), param).bands:
            for share in band.shares:
                own = sum(state in ("held", "shared") for state in halves(band, share.rank, cells).states)
                held = sum(stop - start for start, stop in share.held)
                assert abs(own - 2 * cells * held / band.length) <= 1 and own, (band.tensor, share.rank)


@pytest.mark.parametrize("width", [80, 200])
def test_what_ranks_hold_can_be_told_without_colours(width: int) -> None:
    for name in ("llama", "phi3", "bloom", "gpt2", "mamba2", "mixtral", "gpt-oss"):
        for drawn in pictures(name, 2):
            if not drawn.whole:
                assert text(map_lines(drawn, 0, width)) != text(map_lines(drawn, 1, width)), drawn.param


def test_replicas_are_hatched_and_named() -> None:
    lines = text(map_lines(picture(llama(16), QKV), 5, 80))
    assert lines.count("replicated on ranks 4, 5") == 2 and FILLED["shared"] * 8 in lines
    assert "  rank 4   q 1024:1280  k 256:384 ▒" in lines and "▶ rank 5   q 1280:1536  k 256:384 ▒" in lines
    norm = text(map_lines(picture(llama(16), "model.norm.weight"), 0, 80))
    assert "whole on every rank: replicated, not cut" in norm and "replicated on ranks 0..15" in norm


def test_padding_is_hatched_with_its_reason() -> None:
    lines = text(map_lines(picture(small("mixtral").at(4), "model.embed_tokens.weight"), 3, 120))
    assert "nothing of it on rank 3" in lines and "vocab padded to a multiple of 64" in lines
    assert "padding 2,3 │╱╱╱" in lines and "-> rows 0:32 = 0" in lines and "╱ 29 positions of padding" in lines


def test_what_is_interleaved_on_disk_is_told_by_its_distance() -> None:
    bloom = picture(small("bloom").at(2), BLOOM)
    assert "rows 75:78 x8 every 9 -> 24:48" in text(map_lines(bloom, 1, 80))
    gpt_oss = picture(small("gpt-oss").at(2), W13_GPT_OSS)
    assert "columns 49:96:2 -> rows 1:48:2" in text(map_lines(gpt_oss, 1, 80))


@pytest.mark.parametrize("tp", [1, 2, 4])
@pytest.mark.parametrize("width", WIDTHS)
def test_parts_that_take_turns_in_a_parameter_take_turns_in_its_drawing(tp: int, width: int) -> None:
    lines = text(map_lines(picture(small("gpt-oss").at(tp), W13_GPT_OSS), tp - 1, width)).splitlines()
    box = [line for line in lines if "│" in line]
    assert [line.split()[0] for line in box] == ["gate", "up"] * (len(box) // 2) and len(box) >= 8
    assert not any("├" in line for line in lines)
    assert any(line.split("│")[2].strip().startswith("gate, up in turn: every second row") for line in box)
    cells = [line.split("│")[1] for line in box]
    assert cells[::2] == cells[1::2]  # what a rank holds of one it holds of the other


def test_parts_that_lie_behind_each_other_in_the_parameter_stay_so_however_they_lie_on_disk() -> None:
    lines = text(map_lines(picture(small("bloom").at(2), BLOOM), 1, 80))
    assert lines.count("├") == 2 and "in turn" not in lines


def test_parts_are_to_scale_where_nothing_is_cut_too() -> None:
    lines = text(map_lines(picture(llama(1), QKV), 0, 80)).splitlines()
    edges = [number for number, line in enumerate(lines) if line.strip()[:1] in "╭├╰" and line.strip()]
    assert [b - a - 1 for a, b in pairwise(edges)] == [8, 2, 2] and "whole on the only rank" in lines[0]


def test_a_transform_of_values_is_named() -> None:
    lines = text(map_lines(picture(small("mamba2").at(2), "backbone.layers.0.mixer.A"), 1, 80))
    assert "(16) cut by elements over 2 ranks" in lines and "⚙ neg_exp" in lines


def test_tensors_and_ranks_lead_on() -> None:
    found = targets(map_lines(picture(llama(4), QKV), 2, 80))
    assert found == {
        *(Target("tensor", f"model.layers.0.self_attn.{part}_proj.weight") for part in "qkv"),
        *(Target("rank", str(rank)) for rank in range(4)),
    }  # fmt: skip
    tied = map_lines(picture(small("llama tied").at(2), "lm_head.weight"), 0, 80)
    assert Target("param", "model.embed_tokens.weight") in targets(tied) and "tied to" in plain(tied[0])


@cache
def wide_llama(tp: int) -> Placed:
    """The same with heads for 256 ranks."""
    heads = '{"num_attention_heads": 256, "head_dim": 16}'
    return Placed(prepare(Request(load_format="dummy", plan_only=True, overrides=heads)), tp)


@pytest.mark.parametrize("tp", [16, 32, 64, 128])
def test_up_to_128_ranks_have_each_a_line_of_their_own(tp: int) -> None:
    drawn = picture(wide_llama(tp), QKV)
    lines = text(map_lines(drawn, tp - 1, 80)).splitlines()
    q, _, _ = drawn.bands
    told_of = {int(line[7:].split()[0]): line for line in lines if line[2:].startswith("rank ")}
    assert list(told_of) == list(range(tp)) and lines[-1].startswith(f"▶ rank {tp - 1} ")
    for share in q.shares:
        ((start, stop),) = share.held
        assert f"q {start}:{stop} " in told_of[share.rank]


def test_ranks_without_a_line_of_their_own_are_counted() -> None:
    lines = text(map_lines(picture(wide_llama(256), QKV), 250, 80))
    assert "▶ rank 250" in lines and "… ranks 0..127  128 ranks without a line" in lines
    assert lines.count("rank ") < 256


def test_ranks_without_a_line_have_their_rule_where_all_of_them_follow_from_it() -> None:
    drawn = picture(wide_llama(256), "model.layers.0.mlp.gate_up_proj.weight")
    line = next(each for each in text(map_lines(drawn, 250, 80)).splitlines() if "…" in each)
    assert line.startswith("  … ranks 0..127:") and line.endswith("in equal steps")
    rules = re.findall(r"(\w+) (\d+):(\d+) \.\. (\d+):(\d+)", line)
    assert [part for part, *_ in rules] == ["gate", "up"]
    for band, (_, first, stop, last, end) in zip(drawn.bands, rules, strict=True):
        step = (int(last) - int(first)) // 127
        for share in band.shares[:128]:
            own = int(first) + share.rank * step, int(stop) + share.rank * step
            assert share.held == (own,) and int(end) == int(stop) + 127 * step


def many(count: int) -> SliceMap:
    """A picture of so many experts."""
    drawn = picture(small("mixtral").at(2), W13)
    assert drawn.experts
    cells = tuple(replace(drawn.experts.cells[0], number=n) for n in range(count))
    return replace(drawn, experts=replace(drawn.experts, cells=cells, chosen=min(17, count - 1)))


@pytest.mark.parametrize("count", [1, 8, 16, 17, 60, 64, 128, 160, 256, 512])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_expert_has_a_cell(count: int, width: int) -> None:
    lines = text(map_lines(many(count), 0, width)).splitlines()
    grid = "".join(lines[3 : lines.index("", 3)])
    assert Counter(c for c in grid if c in "■◆") == Counter({"■": count - 1, "◆": 1})
    assert max(map(len, lines)) <= width


def test_256_experts_take_four_lines_of_80_columns() -> None:
    lines = text(map_lines(many(256), 0, 80)).splitlines()
    assert lines.index("", 3) - 3 == 4 and lines[4].startswith("   64 ■■■■■■■■ ■■")


def test_experts_that_are_not_as_they_should_be_are_named() -> None:
    drawn = many(64)
    assert drawn.experts
    room, cells = drawn.experts.room, list(drawn.experts.cells)
    for number, elements in ((3, (0, 0)), (4, (0, 0)), (9, (room[0] - 1, room[1])), (11, (room[0] + 1, room[1]))):
        cells[number] = replace(cells[number], elements=elements)
    drawn = replace(drawn, experts=replace(drawn.experts, cells=tuple(cells)))
    lines = text(map_lines(drawn, 0, 80))
    assert "· not placed on rank 0: 3, 4" in lines and "◧ only partly placed on rank 0: 9" in lines
    assert "▣ placed more than once on rank 0: 11" in lines
    assert "partly" not in text(map_lines(drawn, 1, 80))


def test_experts_that_a_trace_without_an_end_lacks_are_not_recorded() -> None:
    drawn = picture(small("mixtral").at(2), W13)
    assert drawn.experts
    cells = tuple(replace(cell, elements=(0, 0)) if cell.number == 1 else cell for cell in drawn.experts.cells)
    lacking = replace(drawn, experts=replace(drawn.experts, cells=cells))
    assert "not placed on rank 0: 1" in text(map_lines(lacking, 0, 80))
    assert "not recorded on rank 0: 1" in text(map_lines(replace(lacking, cut_short=True), 0, 80))


def test_another_expert_can_be_chosen() -> None:
    lines = text(map_lines(picture(small("mixtral").at(2), W13, 2), 0, 80))
    assert "◆ expert 2, drawn below" in lines and "experts.2.w1.weight" in lines and "experts.0.w1" not in lines


def test_what_is_on_no_rank_is_said() -> None:
    drawn = picture(llama(2), QKV)
    first, *rest = drawn.bands
    lost: Band = replace(first, segments=(Segment(0, 2048, (0,)), Segment(2048, 4096, ())))
    lines = text(map_lines(replace(drawn, bands=(lost, *rest)), 0, 80))
    assert "✗ 2048 rows on no rank" in lines and "╳╳ on no rank" in lines


def test_what_a_loader_was_seen_to_skip_is_on_no_rank(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    for tp in (1, 2):
        store = run(Request(str(tmp_path), tp, load_format="dummy"), loader=sabotage.SkipsARow).store
        for layer, crossed in ((0, False), (1, True)):
            drawn = picture(Observed(store), f"model.layers.{layer}.self_attn.qkv_proj.weight")
            lines = text(map_lines(drawn, 0, 80))
            assert ("nothing of it on rank 0" in lines, "✗ 64 rows on no rank" in lines) == (crossed, crossed)
            assert ("not all of it" in lines) == (crossed and tp == 1)


def test_a_trace_of_one_rank_says_what_is_planned_and_what_nobody_knows(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    observed = Observed(run(Request(str(tmp_path), 4, load_format="dummy", rank=3)).store)
    head, norm = (text(map_lines(picture(observed, f"{name}.weight"), 3, 80)) for name in ("lm_head", "model.norm"))
    assert "cut by rows over 4 ranks: (64, 64) on rank 3\n· rank 3 of 4 is known; the others are as planned" in head
    assert re.findall(r"^ *(\d) │", head, re.MULTILINE) == ["0", "1", "2", "3"] and "░░ other ranks" in head
    assert "whole on every rank: replicated, not cut\n· rank 3 of 4 is known; the others are as planned" in norm
    observed.planned = None
    untold = text(map_lines(picture(observed, "lm_head.weight"), 3, 80))
    assert "a parameter on rank 3: (64, 64) on rank 3\n· rank 3 of 4 is known; the others are not" in untold
    assert "every rank" not in untold and "not cut" not in untold


def test_what_a_trace_without_an_end_lacks_is_not_recorded_and_not_lost(tmp_path: Path) -> None:
    small_llama.write(tmp_path)
    store = run(Request(str(tmp_path), 2, load_format="dummy"), loader=sabotage.SkipsARow).store
    store.db.execute("DELETE FROM finish")
    lines = text(map_lines(picture(Observed(store), "model.layers.1.self_attn.qkv_proj.weight"), 0, 80))
    assert "nothing of it recorded on rank 0" in lines and "▶ rank 0  q 0:32   k not recorded  v 0:32" in lines
    assert "· 64 rows not recorded" in lines and "╳╳ not recorded" in lines and "on no rank" not in lines
    store.db.execute("DELETE FROM move")
    observed = Observed(store)
    observed.planned = None
    lines = text(map_lines(picture(observed, "model.norm.weight"), 0, 80))
    assert "· nothing of it was recorded: the trace was cut short" in lines and "✗" not in lines


def test_a_refusal_is_told_over_as_many_lines_as_it_takes() -> None:
    lines = map_lines(picture(llama(3), QKV), 0, 60)
    assert plain(lines[0]).startswith("✗ --tp 3 cannot cut") and len(lines) > 1
    assert all(len(plain(line)) <= 60 for line in lines)


def test_a_rank_that_is_not_there_is_the_first_one() -> None:
    assert map_lines(picture(llama(2), QKV), 7, 80) == map_lines(picture(llama(2), QKV), 0, 80)


def test_names_cannot_steer_the_terminal() -> None:
    drawn = picture(llama(2), QKV)
    hostile = replace(drawn.bands[0], tensor="a\x1b[31m\nb", part="\x1b]0;q\x07")
    drawn = replace(drawn, bands=(hostile, *drawn.bands[1:]), tied_to="x\x9b2Jy")
    for width in WIDTHS:
        assert all(plain(line).isprintable() for line in map_lines(drawn, 0, width))
