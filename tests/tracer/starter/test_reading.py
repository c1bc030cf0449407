"""Readings of a shape: each is one that a table could have, every axis in it once."""

from __future__ import annotations

from itertools import product

import pytest

from mappings.axes import spell
from tests.mappings.small import CONFIGS, bind
from tracer.starter.blankpage import blank_page
from tracer.starter.reading import Vocabulary, vocabulary


def words(key: str, **fields: int) -> Vocabulary:
    config = {**CONFIGS[key].config, **fields}
    binding = bind(key, **fields)
    return vocabulary(binding, blank_page("Own", config, None, binding.arch.layers), config)


@pytest.mark.parametrize("key", ["llama", "bloom", "falcon", "deepseek v2", "mamba2 in groups", "jamba"])
def test_no_reading_has_an_axis_twice_and_none_has_it_in_another_axis(key: str) -> None:
    """Two KV heads and sixteen heads are not `"kv, head"`, as every head is of one of the two."""
    own = words(key)
    extents = sorted(set(own.extents.values()))
    for shape in product(extents, extents):
        for reading in own.readings(shape):
            atoms = [atom for dim in reading for atom in own.atoms(dim)]
            assert len(set(atoms)) == len(atoms), spell(reading)


def test_heads_stand_outside_of_what_each_has_where_a_shape_does_not_tell() -> None:
    own = words("llama", head_dim=16)
    assert next(spell(reading) for reading in own.readings((16, 16))) == "head, dim"
