"""The rank of a change: found above the noise that rounding makes, and claimed of nothing that has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.diffing import BF16, random
from tracer.diff.compared import Rank
from tracer.diff.values.rank import rank_of_change

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": BF16}


class Held:
    """A matrix in memory as rows of a weight."""

    def __init__(self, numbers: NDArray[Any], dtype: str) -> None:
        self.numbers, self.dtype = numbers, dtype
        self.shape = (numbers.shape[0], numbers.shape[1])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        return self.numbers[start:stop].astype("f4")


def found(a: NDArray[Any], change: NDArray[Any], dtype: str) -> Rank:
    """The rank of a change that was added and rounded once."""
    base = a.astype(DTYPES[dtype])
    rank = rank_of_change(Held(base, dtype), Held((base.astype("f8") + change).astype(DTYPES[dtype]), dtype))
    assert rank is not None
    return rank


def product(rank: int, shape: tuple[int, int], seed: int, scale: float = 1e-3) -> NDArray[Any]:
    numbers = random(seed)
    factors = numbers.standard_normal((shape[0], rank)), numbers.standard_normal((rank, shape[1]))
    return np.asarray(scale * factors[0] @ factors[1])


def weights(shape: tuple[int, int]) -> NDArray[Any]:
    return random(0).standard_normal(shape) * 0.02


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [1, 4, 16, 48, 72])
def test_the_rank_of_a_product_is_found(rank: int, dtype: str) -> None:
    """Beyond 32 in the second, wider look."""
    shape = (320, 288)
    change = product(rank, shape, rank)
    told = found(weights(shape), change, dtype)
    exact = np.linalg.svd(change, compute_uv=False)
    assert told.rank == np.count_nonzero(exact > 1e-9) == rank
    assert told.explained > 0.97
    assert not told.sampled


@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_has_no_low_rank(dtype: str) -> None:
    shape = (256, 192)
    for scale in (1e-2, 1e-3):
        assert found(weights(shape), random(5).standard_normal(shape) * scale, dtype).rank is None


def test_an_adapter_and_noise_together_have_none() -> None:
    shape = (256, 192)
    change = product(8, shape, 6) + random(7).standard_normal(shape) * 2e-3
    assert found(weights(shape), change, "F32").rank is None
    assert found(weights(shape), change, "BF16").rank is None


def test_a_few_rows_that_changed_are_no_adapter() -> None:
    shape = (256, 192)
    change = np.zeros(shape)
    change[[3, 70, 200]] = random(8).standard_normal((3, 192))
    assert found(weights(shape), change, "F32").rank is None


def test_of_a_wide_matrix_a_sample_is_looked_at() -> None:
    shape = (32, 8_400)
    told = found(weights(shape), product(3, shape, 9), "BF16")
    assert (told.rank, told.sampled) == (3, True)


def test_no_noise_is_known_of_integers_and_none_of_slivers() -> None:
    numbers = np.zeros((8, 8), "f4")
    assert rank_of_change(Held(numbers, "I8"), Held(numbers, "I8")) is None
    assert rank_of_change(Held(numbers[:2], "F32"), Held(numbers[:2], "F32")) is None
