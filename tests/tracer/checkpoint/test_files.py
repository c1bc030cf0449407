"""Names of files: their order, and the numbers in them, however long."""

from __future__ import annotations

import random

import pytest

from tracer.checkpoint.files import in_natural_order
from tracer.checkpoint.shards import gaps, series_of, siblings

LONG = "9" * 5000
"""More digits than Python makes a number of."""


def test_numbers_are_in_the_order_of_their_values() -> None:
    chance = random.Random(3)
    numbers = sorted({chance.randrange(10 ** chance.randint(1, 30)) for _ in range(200)})
    names = [f"m-{number}.bin" for number in numbers]
    assert in_natural_order(chance.sample(names, len(names))) == names


def test_zeros_before_a_number_and_digits_of_other_scripts() -> None:
    assert in_natural_order(["\u0663", "\u00b2", "2", "a"]) == ["2", "a", "\u00b2", "\u0663"]
    assert in_natural_order(["m-10", "m-9", "m-009"]) == ["m-009", "m-9", "m-10"]


@pytest.mark.parametrize("name", [f"m-{LONG}.bin", f"m-00001-of-{LONG}.bin", f"m-{LONG}-of-00002.bin", f"mm.{LONG}"])
def test_a_name_with_more_digits_than_a_number_has_is_a_name(name: str) -> None:
    assert in_natural_order([f"{name}1", name, "a"]) == ["a", name, f"{name}1"]
    assert series_of(name) is None
    assert siblings(name) == [name]
    assert gaps([name, "m-00001-of-00002.bin"])[0].evidence["missing"] == ["m-00002-of-00002.bin"]
