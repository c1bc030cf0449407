"""Whether a picture says that positions are permuted, against numbers that are moved as the moves say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.mappings.small import CONFIGS
from tests.tracer.slices.test_picture import made
from tracer.slices.order import permuted
from tracer.slices.picture import Band, picture
from tracer.slices.placed import Placed
from tui.model.line import plain
from tui.model.slicemap.drawing import map_lines

GGUF = [name for name in CONFIGS if "gguf" in name]
ROWS = [(name, tp) for name in CONFIGS for tp in (1, 2) if tp in CONFIGS[name].tp]


def turned(places: Placed, param: str, band: Band, rank: int) -> bool:
    """Whether the rank's positions, each written with where it comes from, ascend where they landed."""
    landed = np.full(max(places.shape(param, rank) or (1,)), -1)
    for move in places.into(param):
        if move.rank == rank and move.tensor == band.tensor and len(move.src) == len(move.dst):
            source, place = (np.arange(*each) for each in (move.src[band.along], move.dst[band.lands]))
            if len(source) == len(place):
                landed[place] = source
    return bool((np.diff(landed[landed >= 0]) < 0).any())


@pytest.mark.parametrize(("name", "tp"), ROWS)
def test_a_share_has_an_order_of_its_own_where_numbers_moved_so_do_not_ascend(name: str, tp: int) -> None:
    places = Placed(made(name), tp)
    for param, _ in made(name).params():
        drawn = picture(places, param)
        alone = not drawn.experts and len({band.tensor for band in drawn.bands}) == len(drawn.bands)
        for band in drawn.bands if alone else ():
            for share in band.shares:
                assert bool(share.order) == turned(places, param, band, share.rank), (param, band.part, share)


def test_interleaved_halves_of_heads_are_told_in_the_order_in_which_they_land() -> None:
    """Two heads of four rows, of which GGUF has the first rows of both halves, then the second ones."""
    pairs = [((0, 3, 2), (0, 2, 1)), ((1, 4, 2), (2, 4, 1)), ((4, 7, 2), (4, 6, 1)), ((5, 8, 2), (6, 8, 1))]
    assert permuted(pairs) == permuted(pairs[::-1]) == tuple(source for source, _ in pairs)
    assert permuted([(place, place) for _, place in pairs]) == ()


@pytest.mark.parametrize("name", GGUF)
def test_the_picture_says_so_beside_the_rows_and_only_there(name: str) -> None:
    places, told = Placed(made(name), 1), 0
    for param, _ in made(name).params():
        drawn = picture(places, param)
        lines = [plain(line) for line in map_lines(drawn, 0, 200)]
        expected = sum(bool(share.order) for band in drawn.bands for share in band.shares)
        assert sum(" permuted, " in line for line in lines) == expected, param
        told += expected
    assert told or name != "llama in gguf"
