"""Parts that no tensor feeds, against the picture of the same checkpoint when it was whole."""

from __future__ import annotations

import pytest

from mappings.plan import LoadPlan, plan
from tests.mappings.small import CONFIGS
from tests.tracer.slices.test_picture import made
from tracer.slices.picture import Band, SliceMap, picture
from tracer.slices.placed import Placed
from tui.model.line import plain
from tui.model.slicemap.drawing import map_lines


def without(name: str, tensor: str) -> LoadPlan:
    whole = made(name)
    return plan(whole.binding, [each for each in whole.tensors if each.name != tensor])


def fused(name: str, tp: int) -> SliceMap | None:
    """The first parameter whose parts have tensors of their own, no part with two."""
    each = (picture(Placed(made(name), tp), param) for param, _ in made(name).params())
    return next((map for map in each if len({band.tensor for band in map.bands}) == len(map.bands) > 1), None)


FUSED = [(name, tp) for name, config in CONFIGS.items() for tp in (1, 2) if tp in config.tp and fused(name, tp)]


def no_more_than_its_place(band: Band) -> tuple[str, int, int, int]:
    return band.part, band.along, band.lands, band.length


@pytest.mark.parametrize(("name", "tp"), FUSED)
def test_a_part_without_a_source_keeps_its_place_and_no_rank_holds_it(name: str, tp: int) -> None:
    whole = fused(name, tp)
    assert whole is not None
    for number, band in enumerate(whole.bands):
        places = Placed(without(name, band.tensor), tp)
        lacking = picture(places, whole.param)
        assert [each.absent for each in lacking.bands] == [each == number for each in range(len(whole.bands))]
        own = lacking.bands[number]
        assert no_more_than_its_place(own) == no_more_than_its_place(band)
        assert [own.tensor] == places.absent(whole.param) and band.tensor.endswith(own.tensor)
        assert not any(share.held for share in own.shares) and own.gaps == own.segments
        others = [each for each in lacking.bands if not each.absent]
        assert others == [each for each in whole.bands if each != band] and not lacking.whole


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_it_is_drawn_crossed_out_beside_the_name_that_is_missing(width: int) -> None:
    whole = fused("llama", 2)
    assert whole is not None
    lacking = picture(Placed(without("llama", whole.bands[0].tensor), 2), whole.param)
    drawn = [plain(line) for line in map_lines(lacking, 0, width)]
    crossed = [line for line in drawn if "│╳" in line]
    assert crossed[0].startswith(whole.bands[0].part) and "no source" in crossed[1]
    assert f"{whole.bands[0].length} rows on no rank" in crossed[2]
    assert not any("│╳" in plain(line) for line in map_lines(whole, 0, width))


@pytest.mark.parametrize("name", CONFIGS)
def test_of_a_whole_checkpoint_nothing_is_said_to_be_absent(name: str) -> None:
    places = Placed(made(name), 1)
    assert not any(places.absent(param) or places.without_source(param) for param, _ in made(name).params())
