"""Parts that take turns, against the positions that the moves of a plan write."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from mappings.plan import plan
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, bind
from tracer.slices.picture import Band, picture
from tracer.slices.placed import Placed
from tracer.slices.turns import Turns, turns


@cache
def placed(name: str) -> Placed:
    binding = bind(name)
    return Placed(plan(binding, synthesise(binding)), 1)


def owners(bands: tuple[Band, ...], rank: int, lands: int) -> list[int]:
    """For each position of a rank's parameter that is written, which band writes it."""
    shares = [(number, band.share(rank)) for number, band in enumerate(bands) if band.lands == lands]
    written = {p: number for number, share in shares if share for span in share.landing for p in range(*span)}
    return [written[position] for position in sorted(written)]


def rounds(found: tuple[Turns, ...], owned: list[int]) -> list[int]:
    """The same as the turns say."""
    written: list[int] = []
    for each in found:
        if not each.takes:
            written += [each.bands[0]] * owned.count(each.bands[0])
            continue
        one = [band for band, take in zip(each.bands, each.takes, strict=True) for _ in range(take)]
        written += one * (sum(owned.count(band) for band in each.bands) // len(one))
    return written


@pytest.mark.parametrize("name", CONFIGS)
def test_turns_say_which_part_writes_each_position(name: str) -> None:
    tp = max(tp for tp in CONFIGS[name].tp if tp <= 4)
    leaves = {id(leaf): param for param, leaf in placed(name).plan.params()}
    for param in leaves.values():
        drawn = picture(placed(name).at(tp), param)
        assert [band for each in drawn.turns for band in each.bands] == list(range(len(drawn.bands)))
        if len({band.lands for band in drawn.bands}) == 1 and not any(band.replicated for band in drawn.bands):
            owned = owners(drawn.bands, tp - 1, drawn.bands[0].lands)
            assert rounds(drawn.turns, owned) == owned, param


def test_gate_and_up_of_gpt_oss_are_the_ones_that_alternate() -> None:
    for leaf in ("w13_weight", "w13_bias"):
        drawn = picture(placed("gpt-oss").at(2), f"model.layers.0.mlp.experts.routed_experts.{leaf}")
        assert drawn.turns == (Turns((0, 1), (1, 1)),)
    assert drawn.turns[0].words("row", "rows") == "every second row"


def test_turns_of_different_lengths_are_counted() -> None:
    assert Turns((0, 1), (3, 1)).words("row", "rows") == "3, 1 of every 4 rows"
    assert Turns((0, 1, 2, 3, 4), (1,) * 5).words("row", "rows") == "every 5th row"


def test_a_rank_that_takes_another_stride_ends_the_turns() -> None:
    gate, up = picture(placed("gpt-oss").at(2), "model.layers.0.mlp.experts.routed_experts.w13_weight").bands
    spans = tuple((3 * n, 3 * n + 1) for n in range(8))
    first, second = up.shares
    odd = replace(up, shares=(first, replace(second, landing=spans)))
    assert list(turns([gate, up])) == [Turns((0, 1), (1, 1))]
    assert list(turns([gate, odd])) == [Turns((0,)), Turns((1,))]
    assert list(turns([up, gate])) == [Turns((0,)), Turns((1,))]
