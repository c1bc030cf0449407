"""What may be asked of one request, and how a mistake is told."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from engine.sampling.params import Sampling

RIGHT: dict[str, list[Any]] = {
    "temperature": [0, 0.0, 1, 0.7, 100.0],
    "top_k": [0, 1, 10**6],
    "top_p": [1, 1.0, 0.5, 1e-9],
    "min_p": [0, 0.0, 0.05, 1.0],
    "seed": [None, 0, 2**64 - 1],
    "stop": [(), ("\n\n",), ("a", "b")],
    "stop_ids": [(), (0,), (2, 3)],
    "max_tokens": [1, 10**6],
    "ignore_eos": [True, False],
    "logprobs": [None, 0, 5],
}
WRONG: dict[str, list[Any]] = {
    "temperature": [-0.1, math.nan, math.inf, "1", None, True],
    "top_k": [-1, 0.5, None, True],
    "top_p": [0, 0.0, -0.5, 1.01, math.nan, "0.9"],
    "min_p": [-0.01, 1.01, math.nan, None],
    "seed": [-1, 2**64, 1.0, False],
    "stop": ["\n", ["\n"], ("",), (1,), None],
    "stop_ids": [2, [2], (-1,), ("2",), (True,), None],
    "max_tokens": [0, -1, 1.5, None, True],
    "ignore_eos": [1, None, "yes"],
    "logprobs": [-1, 0.5, True],
}


def test_every_field_is_examined() -> None:
    assert [field.name for field in fields(Sampling)] == list(RIGHT) == list(WRONG)


def test_the_defaults_are_greedy_and_hold() -> None:
    Sampling().check()
    assert Sampling().temperature == 0


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in RIGHT.items() for value in values])
def test_what_makes_sense_is_taken(field: str, value: Any) -> None:
    Sampling(**{field: value}).check()


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_mistake_is_told_with_its_field_what_was_expected_and_what_was_found(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^sampling: {field}: expected .+, found ") as caught:
        Sampling(**{field: value}).check()
    assert str(caught.value).endswith(f"found {value!r}")
