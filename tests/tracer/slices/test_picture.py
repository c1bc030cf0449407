"""Pictures of all parameters of all architectures, against the plan that counts elements one by one."""

from __future__ import annotations

from functools import cache
from math import prod

import pytest

from mappings.plan import LoadPlan, plan
from mappings.shards import replicas
from mappings.synth import synthesise
from tests.mappings.small import CONFIGS, bind
from tracer.slices.picture import SliceMap, picture
from tracer.slices.placed import Placed

SIZES = (1, 2, 4)
LEGAL = [(name, tp) for name, small in CONFIGS.items() for tp in SIZES if tp in small.tp]


@cache
def made(name: str) -> LoadPlan:
    binding = bind(name)
    return plan(binding, synthesise(binding))


@cache
def placed(name: str, tp: int) -> Placed:
    """The plan for one rank, asked for another number of them."""
    return Placed(made(name), tp)


@cache
def pictures(name: str, tp: int) -> dict[str, SliceMap]:
    return {param: picture(placed(name, tp), param) for param, _ in made(name).params()}


@cache
def planned(name: str, tp: int) -> LoadPlan:
    """The same, planned for that number of ranks from the beginning."""
    binding = bind(name, tp)
    return plan(binding, synthesise(binding))


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_every_position_of_a_band_is_held_as_often_as_its_cut_declares(name: str, tp: int) -> None:
    for param, leaf in planned(name, tp).params():
        cuts = {part.name: part for part in leaf.parts}
        drawn = pictures(name, tp)[param]
        for band in drawn.bands:
            part = cuts.get(band.part) or leaf.parts[0]
            copies = replicas(part.cut, leaf.axes.size(part.cut.axis) if part.cut else 0, tp)
            only = {row.row.rank for row in planned(name, tp).binding.rows if row.leaf is leaf}
            expected = copies if only == {None} else 1
            assert [len(segment.ranks) for segment in band.segments] == [expected] * len(band.segments), (param, band)
            assert (band.segments[0].start, band.segments[-1].stop) == (0, band.length), (param, band)


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_bands_and_padding_fill_what_each_rank_allocates(name: str, tp: int) -> None:
    for param, _ in made(name).params():
        drawn = pictures(name, tp)[param]
        for rank, shape in zip(drawn.ranks, drawn.shapes, strict=True):
            held = sum(share.elements for band in drawn.bands for share in band.shares if share.rank == rank)
            padded = sum(pad.elements for pad in drawn.pads if pad.rank == rank)
            assert held + padded == prod(shape[1:] if drawn.experts else shape), (param, rank)


@pytest.mark.parametrize(("name", "tp"), LEGAL)
def test_moves_are_those_of_a_plan_made_for_that_number_of_ranks(name: str, tp: int) -> None:
    whole, asked = planned(name, tp), placed(name, tp)
    expected = {
        (rank, whole.tensors[step.tensor].name, step.param, step.shard, box.src, box.dst, box.perm)
        for rank in range(tp) for step in whole.steps(rank) for box in whole.boxes(step)
    }  # fmt: skip
    found = {
        (m.rank, m.tensor, m.param, m.shard, m.src, m.dst, m.perm)
        for tensor in whole.tensors for m in asked.moves(tensor.name)
    }  # fmt: skip
    assert found == expected
    into = {m for param, _ in whole.params() for m in asked.into(param)}
    assert {(m.rank, m.tensor, m.param, m.shard, m.src, m.dst, m.perm) for m in into} == expected
