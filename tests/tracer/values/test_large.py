"""Large tensors are folded by vector instructions; their statistics are numpy's all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tracer.values.checkpoints import NUMPY
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.values.large import LARGE, SAMPLED, suits
from tracer.values.pieces import PIECE
from tracer.values.statistics import Statistics, of_pieces

SCRATCH = np.empty(PIECE // 2, np.int64)
Doubles = NDArray[np.float64]


def statistics(dtype: str, numbers: Doubles, target: str | None = None, order: str = "<") -> tuple[Statistics, Doubles]:
    """What is said of them as they are stored, and what is stored."""
    with np.errstate(over="ignore"):
        stored: NDArray[Any] = numbers.astype(NUMPY[dtype])
    data = stored.tobytes() if order == "<" else stored.view(f"u{stored.itemsize}").byteswap().tobytes()
    assert suits(dtype, len(data))
    tensor = TensorInfo("w", dtype, stored.shape, "f", 0, len(data), big_endian=order == ">")
    pieces = [memoryview(data)[at : at + PIECE] for at in range(0, len(data), PIECE)]
    return of_pieces(tensor, pieces, target, SCRATCH), stored.astype(np.float64)


def normal(count: int) -> Doubles:
    return np.random.default_rng(7).normal(0, 0.02, count)


def _as_trained(count: int) -> Doubles:
    return normal(count)


def _with_zeros(count: int) -> Doubles:
    return np.where(np.arange(count) % 1000 < 3, -0.0, normal(count))


def _mostly_zeros(count: int) -> Doubles:
    return np.where(np.arange(count) % 1000 < 3, normal(count), 0)


def _positive(count: int) -> Doubles:
    return np.abs(normal(count)) + 1e-3


def _negative(count: int) -> Doubles:
    return -np.abs(normal(count)) - 1e-3


def _far_from_zero(count: int) -> Doubles:
    """Where sums in F32 would leave nothing of the spread."""
    return 100 + normal(count) * 50


def _tiny(count: int) -> Doubles:
    """F16 has them as subnormal numbers, as it has the smallest of trained weights."""
    return normal(count) * 1e-4


def _blocks(count: int) -> Doubles:
    """Another size in each piece, and one piece of zeros."""
    numbers = normal(count) * np.geomspace(1e-3, 1e3, count)
    numbers[1_500_000:2_100_000] = 0
    return numbers


MADE: list[Callable[[int], Doubles]] = [
    _as_trained, _with_zeros, _mostly_zeros, _positive, _negative, _far_from_zero, _tiny, _blocks,
]  # fmt: skip


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_they_equal_numpys(dtype: str, make: Callable[[int], Doubles]) -> None:
    found, stored = statistics(dtype, make(LARGE // 2 + 100_001), order="<>"[make is _as_trained])
    part = found.part
    assert (found.count, part.finite, part.nan) == (stored.size, stored.size, 0)
    assert part.zeros == (stored == 0).sum()
    assert (part.minimum, part.maximum) == (stored.min(), stored.max())
    assert part.smallest == np.abs(stored[stored != 0]).min()
    assert abs((found.mean or 0) - stored.mean()) < 1e-6 * stored.std()
    assert found.std == pytest.approx(stored.std(), rel=1e-6)
    assert not found.constant


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_one_number_that_is_none_is_found_in_any_piece(dtype: str) -> None:
    """Also in one of those that are folded; and the others' numbers are not lost by it."""
    for at in (5, 700_000, LARGE // 2 + 3):
        numbers = normal(LARGE // 2 + 100)
        numbers[at], numbers[at + 7] = np.nan, -np.inf
        found, stored = statistics(dtype, numbers)
        assert (found.part.nan, found.part.negative_infinity, found.first_nonfinite) == (1, 1, at)
        finite = stored[np.isfinite(stored)]
        assert (found.part.finite, found.part.minimum) == (finite.size, finite.min())
        assert found.std == pytest.approx(finite.std(), rel=1e-6)


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_what_a_cast_loses_is_counted_in_any_piece(dtype: str) -> None:
    numbers = normal(LARGE // 2 + 100)
    numbers[[3, 800_000, 1_900_000]] = 1e6
    numbers[[4, 800_001]] = 1e-12
    found, stored = statistics(dtype, numbers, "F16")
    with np.errstate(over="ignore"):
        cast = stored.astype(np.float16)
    assert (found.part.overflow, found.part.underflow) == (3, ((cast == 0) & (stored != 0)).sum())


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_the_histogram_is_of_a_sample_and_says_so(dtype: str) -> None:
    found, stored = statistics(dtype, normal(2 * LARGE))
    assert found.sampled
    assert found.record()["histogram"]["sampled"]
    held = found.part.histogram
    total = sum(held.negative) + sum(held.positive)
    assert total / stored.size == pytest.approx(1 / SAMPLED, rel=0.01)
    octave = np.floor(np.log2(np.abs(stored[stored != 0])))
    share = {at: float(np.mean(octave == at)) for at in range(-9, -5)}
    for at, expected in share.items():
        counted = held.negative[at - held.low] + held.positive[at - held.low]
        assert counted / total == pytest.approx(expected, abs=0.01)
    small = of_pieces(
        TensorInfo("w", "F32", (8,), "f", 0, 32), [memoryview(bytes(28) + b"\0\0\x80\x3f")], None, SCRATCH
    )
    assert not small.sampled


@pytest.mark.parametrize("make", [_as_trained, _with_zeros, _tiny, _blocks])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_the_sample_is_the_beginning_of_each_piece_octave_by_octave(dtype: str, make: Callable[[int], Doubles]) -> None:
    """Subnormal numbers too, which an exponent does not tell apart."""
    found, stored = statistics(dtype, make(4 * PIECE // np.dtype(NUMPY[dtype]).itemsize + LARGE // 2))
    a_piece = PIECE // np.dtype(NUMPY[dtype]).itemsize
    cut = [stored[at : at + a_piece] for at in range(0, stored.size, a_piece)]
    sample = np.concatenate([piece if not piece.any() else piece[: -(-len(piece) // SAMPLED)] for piece in cut])
    held = found.part.histogram
    for counted, side in ((held.positive, sample[sample > 0]), (held.negative, -sample[sample < 0])):
        places = np.floor(np.log2(side)).astype(int)
        assert list(counted) == [int((places == held.low + i).sum()) for i in range(len(counted))]
        assert sum(counted) == side.size
