"""The statistics behind the tests: chance is what coins do, whatever the weights are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tracer.meaning.drawn import grown
from tracer.meaning.rotary_reading import TO_HALVES, TO_PAIRS, Step, in_order, in_pairs, judge, reordered, wrong
from tracer.meaning.signs import agreement, alignment, lean, pooled

DRAWS = 400


def standard(deviates: list[float]) -> bool:
    """Whether they are as a standard normal's, roughly: none of the thresholds in use is within reach."""
    return abs(float(np.mean(deviates))) < 0.25 and 0.75 < float(np.std(deviates)) < 1.3 and max(deviates) < 4.0


def test_what_units_agree_in_by_coins_is_chance_whatever_the_sizes() -> None:
    draws = np.random.default_rng(0)
    sizes = np.exp(draws.normal(size=(8, 32)))
    assert standard([agreement(sizes * draws.choice([-1, 1], sizes.shape)).deviate for _ in range(DRAWS)])


def test_units_that_agree_have_all_of_it_in_common() -> None:
    found = agreement(np.tile(np.random.default_rng(1).normal(size=32), (8, 1)))
    assert found.share == pytest.approx(1)
    assert found.deviate > 6


def test_rows_with_coins_for_signs_lean_by_chance_even_where_they_are_alike() -> None:
    draws = np.random.default_rng(2)
    rows = draws.normal(size=(200, 64)) @ np.diag(1 / np.arange(1, 65))
    assert standard([lean(rows * draws.choice([-1, 1], (200, 1))) for _ in range(DRAWS)])
    assert lean(rows + 0.3) > 6


def test_gram_matrices_of_other_dimensions_are_aligned_by_chance() -> None:
    draws = np.random.default_rng(3)
    one = np.cov(draws.normal(size=(64, 80)) * np.exp(draws.normal(size=(64, 1))))
    signs = [draws.choice([-1, 1], 64) for _ in range(DRAWS)]
    assert standard([alignment(one * np.outer(each, each), one**3) for each in signs])
    shared = draws.normal(size=(64, 8))
    assert alignment(shared @ shared.T, shared @ shared.T + draws.normal(size=(64, 64))) > 8


def test_pooling_keeps_chance_and_adds_up_what_is_there() -> None:
    draws = np.random.default_rng(4)
    assert standard([pooled(draws.normal(size=16).tolist()) for _ in range(DRAWS)])
    assert pooled([2.0] * 16) == pytest.approx(8.0)


@pytest.mark.parametrize("kind", ["normal", "uniform", "laplace"])
def test_drawn_numbers_are_drawn_whatever_from(kind: str) -> None:
    draws = np.random.default_rng(5)
    numbers = [getattr(draws, kind)(size=(96, 200)) for _ in range(100)]
    assert max(map(grown, numbers)) < 5
    longer = numbers[0] * np.exp(0.3 * draws.normal(size=(96, 1)))
    assert grown(longer) > 10


def test_one_number_far_too_large_does_not_make_a_trained_matrix_drawn() -> None:
    draws = np.random.default_rng(6)
    trained = draws.normal(size=(96, 200)) * np.exp(0.5 * draws.normal(size=(96, 1)))
    trained[3, 3] = 1e5
    assert grown(trained) > 10


# --- rotary order, on lengths that are made up ---


def profiles(heads: int, dim: int, seed: int = 0) -> NDArray[Any]:
    """Lengths that fall with the frequency, and coins for which row of a pair is longer: [heads, dim]."""
    draws = np.random.default_rng(seed)
    falling = np.linspace(2, 0, dim // 2) + 0.1 * draws.normal(size=(heads, dim // 2))
    apart = 0.3 * draws.normal(size=(heads, dim // 2))
    return np.concatenate([falling + apart, falling - apart], axis=1)


@pytest.mark.parametrize("pieces", [1, 2, 4])
def test_reordering_and_reordering_back_is_nothing(pieces: int) -> None:
    held = profiles(3, 32)
    assert np.array_equal(reordered(reordered(held, TO_PAIRS, pieces), TO_HALVES, pieces), held)


def test_rows_in_order_are_in_order_and_rows_in_pairs_are_put_back() -> None:
    right = {"q": profiles(16, 64), "k": profiles(16, 64, seed=1)}
    counts = {"q": 8, "k": 2}
    assert not wrong(judge(right, counts))
    assert in_order(judge(right, counts))
    found = wrong(judge({of: reordered(held, TO_PAIRS) for of, held in right.items()}, counts))
    assert {of: each.steps for of, each in found.items()} == {
        "q": (Step(TO_HALVES, 8),),
        "k": (Step(TO_HALVES, 2),),
    }


def test_k_that_was_put_back_with_the_heads_of_q_is_told_from_k_that_was_not_put_back() -> None:
    """Four query heads share a key head of 64 rows: what was done ran over pieces of 16."""
    q, k = profiles(16, 64), profiles(16, 64, seed=1)
    spoilt = reordered(reordered(k, TO_PAIRS), TO_HALVES, 4)
    found = wrong(judge({"q": q, "k": spoilt}, {"q": 8, "k": 2}))
    assert {of: each.steps for of, each in found.items()} == {"k": (Step(TO_PAIRS, 8), Step(TO_HALVES, 2))}


def test_lengths_that_all_heads_share_without_a_frequency_are_no_order() -> None:
    """Every head the same, falling over all rows: no reading is right, and none is chosen."""
    same = {of: np.tile(np.linspace(2, 0, 64), (16, 1)) for of in "qk"}
    found = judge(same, {"q": 8, "k": 2})
    assert not wrong(found)
    assert not in_order(found)


def test_steps_among_pairs_are_those_among_halves_between_two_turns() -> None:
    assert in_pairs((Step(TO_PAIRS, 8),), 8) == (Step(TO_PAIRS, 8),)
    assert in_pairs((Step(TO_HALVES, 8),), 8) == (Step(TO_HALVES, 8),)
    assert in_pairs((Step(TO_PAIRS, 8), Step(TO_HALVES, 2)), 2) == (Step(TO_HALVES, 2), Step(TO_PAIRS, 8))
