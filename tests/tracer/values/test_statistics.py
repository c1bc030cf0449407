"""Statistics are what numpy says of the same bytes, however they are cut."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.tracer.values.checkpoints import NUMPY
from tracer.checkpoint.tensor_info import TensorInfo
from tracer.values.decoding import decode, is_float, readable, unit
from tracer.values.statistics import Statistics, of_pieces

SCRATCH = np.empty(1 << 12, np.int64)
FLOATS = [dtype for dtype in NUMPY if is_float(dtype) and dtype != "C64"]


def statistics(dtype: str, data: bytes, cuts: tuple[int, ...] = (), **how: Any) -> Statistics:
    """Of a tensor of these bytes, read in pieces that end after so many elements."""
    width = unit(dtype)[1]
    big_endian = how.pop("big_endian", False)
    tensor = TensorInfo("w", dtype, (len(data) // width,), "f", 0, len(data), big_endian=big_endian)
    edges = sorted({0, len(data), *(min(cut * width, len(data)) for cut in cuts)})
    pieces = [memoryview(data[start:stop]) for start, stop in pairwise(edges)]
    return of_pieces(tensor, pieces, how.pop("target", None), SCRATCH)


def bytes_of(dtype: str) -> st.SearchStrategy[bytes]:
    """Any patterns at all, and few that occur often."""
    width = unit(dtype)[1]
    anything = st.binary(max_size=600).map(lambda data: data[: len(data) // width * width])
    few = st.lists(st.sampled_from([b"\0" * width, b"\x3c" * width, b"\x80" * width, b"\xff" * width]), max_size=80)
    return anything | few.map(b"".join)


cases = st.sampled_from(sorted(NUMPY)).flatmap(lambda dtype: st.tuples(st.just(dtype), bytes_of(dtype)))
cuts = st.lists(st.integers(0, 300), max_size=5).map(tuple)


def by_numpy(dtype: str, data: bytes) -> NDArray[Any]:
    numbers = np.frombuffer(data, np.uint8) != 0 if dtype == "BOOL" else np.frombuffer(data, NUMPY[dtype])
    return numbers.view(np.float32) if dtype == "C64" else numbers


def close(one: float | None, other: float) -> bool:
    return one is not None and bool(np.isclose(one, other, rtol=1e-9, atol=0, equal_nan=True) or one == other)


@given(cases, cuts)
@settings(max_examples=600, deadline=None)
def test_they_equal_numpys_on_the_same_bytes(case: tuple[str, bytes], cuts: tuple[int, ...]) -> None:
    dtype, data = case
    found = statistics(dtype, data, cuts)
    with np.errstate(all="ignore"):
        numbers = by_numpy(dtype, data)
        doubles = numbers.astype(np.float64)
        sound = np.isfinite(doubles)
        finite = doubles[sound]
        assert found.count == len(doubles)
        assert found.part.nan == np.isnan(doubles).sum()
        assert found.part.positive_infinity == np.isposinf(doubles).sum()
        assert found.part.negative_infinity == np.isneginf(doubles).sum()
        assert found.part.zeros == (doubles == 0).sum()
        assert found.first_nonfinite == (None if sound.all() else int(np.argmin(sound)))
        assert found.constant == bool(len(finite) and sound.all() and (finite == finite[0]).all())
        if not len(finite):
            assert (found.part.minimum, found.mean, found.std, found.largest) == (None, None, None, None)
            return
        exact = numbers[sound]
        assert found.part.minimum == exact.min().item()
        assert found.part.maximum == exact.max().item()
        magnitudes = np.abs(finite)
        assert found.part.smallest == min(magnitudes[magnitudes > 0], default=None)
        assert close(found.largest, float(magnitudes.max()))
        scale = float(magnitudes.max())
        if scale < 1e150:
            assert abs((found.mean or 0) - finite.mean()) <= 1e-12 * scale
            assert abs((found.std or 0) - finite.std()) <= 1e-7 * scale
        octaves = np.frexp(finite[finite != 0])
        expected = {(int(e) - 1, bool(m < 0)): 0 for m, e in zip(*octaves, strict=True)}
        for mantissa, exponent in zip(*octaves, strict=True):
            expected[int(exponent) - 1, bool(mantissa < 0)] += 1
    assert histogram_of(found) == expected


def histogram_of(found: Statistics) -> dict[tuple[int, bool], int]:
    held = found.part.histogram
    both = {(held.low + at, True): number for at, number in enumerate(held.negative)}
    both |= {(held.low + at, False): number for at, number in enumerate(held.positive)}
    return {key: number for key, number in both.items() if number}


@given(cases, cuts)
@settings(max_examples=300, deadline=None)
def test_how_a_tensor_is_cut_changes_nothing(case: tuple[str, bytes], cuts: tuple[int, ...]) -> None:
    whole, cut = statistics(*case), statistics(*case, cuts)
    assert cut.digest == whole.digest
    assert cut.zeroes == whole.zeroes
    counts = ("nan", "positive_infinity", "negative_infinity", "finite", "zeros", "minimum", "maximum", "smallest")
    for name in (*counts, "histogram"):
        assert getattr(cut.part, name) == getattr(whole.part, name), name


@pytest.mark.parametrize("dtype", sorted(NUMPY))
def test_big_endian_bytes_are_the_same_numbers(dtype: str) -> None:
    width = unit(dtype)[1]
    data = np.random.default_rng(1).bytes(400 * width)
    part = 4 if dtype == "C64" else width  # of a complex number each half is reversed on its own
    turned = np.frombuffer(data, np.uint8).reshape(-1, part)[:, ::-1].tobytes()
    straight, reverse = statistics(dtype, data), statistics(dtype, turned, (7, 100), big_endian=True)
    assert straight.part.histogram == reverse.part.histogram
    assert straight.first_nonfinite == reverse.first_nonfinite
    assert (straight.part.minimum, straight.part.maximum) == (reverse.part.minimum, reverse.part.maximum)


def test_two_f4_elements_share_a_byte_and_the_lower_half_is_first() -> None:
    numbers = decode(np.array([0x21, 0xF7], np.uint8), "F4")
    assert numbers is not None
    assert numbers.astype(float).tolist() == [0.5, 1.0, 6.0, -6.0]
    found = statistics("F4", bytes([0x21, 0xF7, 0x00]))
    assert (found.count, found.part.minimum, found.part.maximum, found.part.zeros) == (6, -6.0, 6.0, 2)
    assert close(found.mean, 1.5 / 6)


@pytest.mark.parametrize("dtype", ["F6_E2M3", "F6_E3M2", "Q8_K", "Q1_0"])
def test_of_what_cannot_be_read_only_the_bytes_are_known(dtype: str) -> None:
    data = bytes(292 * 18)
    found = of_pieces(TensorInfo("w", dtype, (1,), "f", 0, len(data)), [memoryview(data)], None, SCRATCH)
    assert not readable(dtype)
    assert (found.unread, found.count, found.all_zero) == (f"dtype {dtype}", 0, True)
    assert found.digest


@given(st.sampled_from(FLOATS), st.sampled_from(["F16", "BF16", "F32", "F8_E4M3"]), st.binary(max_size=400), cuts)
@settings(max_examples=200, deadline=None)
def test_what_a_cast_loses_is_what_numpy_loses(dtype: str, target: str, data: bytes, cuts: tuple[int, ...]) -> None:
    width = unit(dtype)[1]
    data = data[: len(data) // width * width]
    found = statistics(dtype, data, cuts, target=target)
    with np.errstate(all="ignore"):
        numbers = by_numpy(dtype, data).astype(np.float64)
        cast = numbers.astype(NUMPY[target]).astype(np.float64)
        assert found.part.overflow == (np.isfinite(numbers) & ~np.isfinite(cast)).sum()
        assert found.part.underflow == ((numbers != 0) & (cast == 0)).sum()


def test_a_mean_far_from_zero_leaves_the_spread_exact() -> None:
    """Where the sum of squares less the square of the sum would leave nothing (Chan et al. 1983)."""
    numbers = (1e9 + np.arange(4096) % 2).astype(np.float64)
    found = statistics("F64", numbers.tobytes(), tuple(range(0, 4096, 100)))
    assert found.std == 0.5
    assert found.mean == 1e9 + 0.5


LARGEST = float(np.finfo(np.float64).max)


@pytest.mark.parametrize("numbers", [
    [1e308, -1e308, 1e308], [LARGEST, -LARGEST], [LARGEST] * 3, [1.0, 1e300, -3.5, 0.0], [1e200, 2e200, 1e-300, 7.0],
])  # fmt: skip
@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2, 3)])
def test_of_numbers_whose_squares_are_beyond_f64_there_is_a_std(numbers: list[float], cuts: tuple[int, ...]) -> None:
    found, exact = statistics("F64", np.array(numbers).tobytes(), cuts), [Fraction(x) for x in numbers]
    mean = sum(exact) / len(exact)
    scale = Fraction(max(map(abs, numbers)))
    variance = sum(((x - mean) / scale) ** 2 for x in exact) / len(exact)
    assert found.mean is not None and abs(float((Fraction(found.mean) - mean) / scale)) <= 1e-12
    assert found.std is not None and abs(found.std / float(scale) - math.sqrt(variance)) <= 1e-12


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "I8", "U8", "F4"])
@pytest.mark.parametrize("length", [1 << 16, (1 << 17) + 1])
def test_bytes_that_are_counted_in_pairs_are_counted_as_single_ones(dtype: str, length: int) -> None:
    """Long pieces are, short ones are not."""
    data = np.random.default_rng(3).bytes(length)
    tensor = TensorInfo("w", dtype, (length,), "f", 0, length)
    long = of_pieces(tensor, [memoryview(data)], None, np.empty(length, np.int64))
    short = of_pieces(tensor, [memoryview(data)[at : at + 999] for at in range(0, length, 999)], None, SCRATCH)
    assert long == short
