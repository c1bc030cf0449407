"""Matrices in the processor's own order: the same products, and plain ones where that cannot be done."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from engine.layers.packed import PACKED, multiply, packable, packed, works

DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16, torch.float16) if works(dtype)]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}
"""Of products of about 1: what one rounding to the type may make of them."""


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PyTorch whose operators have gone: they are not part of its documented interface."""
    works.cache_clear()
    monkeypatch.setattr(torch, "ops", SimpleNamespace(mkldnn=SimpleNamespace()))
    yield
    works.cache_clear()


def noise(*sizes: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes))).to(dtype)


def test_this_processor_stores_float32_its_own_way() -> None:
    assert works(torch.float32), "the tests below would test nothing"


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 70), outputs=st.integers(1, 130), inputs=st.integers(1, 130),
    biased=st.booleans(), dtype=st.sampled_from(DTYPES),
)  # fmt: skip
def test_products_are_those_of_the_plain_matrix(
    rows: int, outputs: int, inputs: int, biased: bool, dtype: torch.dtype
) -> None:  # fmt: skip
    x, weight = noise(rows, inputs, dtype=dtype) / inputs**0.5, noise(outputs, inputs, dtype=dtype)
    bias = noise(outputs, dtype=dtype) if biased else None
    found = multiply(x, packed(weight), bias)
    wide = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.dtype is dtype
    assert found.shape == (rows, outputs)
    allowed = TOLERANCE[dtype]
    torch.testing.assert_close(found.double(), wide, rtol=allowed, atol=4 * allowed)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_need_not_lie_side_by_side(dtype: torch.dtype) -> None:
    x, weight = noise(6, 64, dtype=dtype), noise(48, 32, dtype=dtype)
    own = x[::2, 32:]
    assert torch.equal(multiply(own, packed(weight), None), multiply(own.contiguous(), packed(weight), None))


def test_a_row_is_the_same_whatever_the_type_of_the_parameter_that_held_it() -> None:
    weight = torch.nn.Parameter(noise(48, 32, dtype=torch.float32), requires_grad=False)
    x = noise(1, 32, dtype=torch.float32)
    assert torch.equal(multiply(x, packed(weight), None), multiply(x, packed(weight.data), None))


def test_inputs_of_another_width_are_named_by_their_shapes() -> None:
    with pytest.raises(RuntimeError, match=r"3x31 and 32x48"):
        multiply(torch.zeros(3, 31), packed(torch.zeros(48, 32)), None)


def test_what_fails_of_something_else_than_the_width_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less memory than the product needs, a plain copy of the matrix has no place either."""

    def without_memory(*_: object) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    weight = packed(torch.ones(48, 32))
    operators = SimpleNamespace(_linear_pointwise=SimpleNamespace(default=without_memory))
    monkeypatch.setattr(torch, "ops", SimpleNamespace(mkldnn=operators))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        multiply(torch.ones(3, 32), weight, None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8])
def test_types_that_the_library_does_not_multiply_stay_as_they_are(dtype: torch.dtype) -> None:
    weight = torch.ones(4, 4, dtype=dtype)
    assert not packable(weight)
    assert PACKED.loaded({"weight": weight})["weight"] is weight


def test_on_other_devices_matrices_stay_as_they_are() -> None:
    assert not packable(torch.empty(4, 4, device="meta"))


@pytest.mark.usefixtures("unable")
def test_without_the_operators_products_are_plain_ones() -> None:
    x, weight = noise(3, 32, dtype=torch.float32), noise(48, 32, dtype=torch.float32)
    assert not packable(weight)
    kept = PACKED.loaded({"weight": weight})
    assert kept["weight"] is weight
    assert torch.equal(PACKED.apply(kept, x, None), F.linear(x, weight))


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_expert_is_stored_by_itself(dtype: torch.dtype) -> None:
    stack, x = noise(3, 48, 32, dtype=dtype), noise(7, 32, dtype=dtype) / 32**0.5
    ends = torch.tensor([2, 2, 7], dtype=torch.int32)
    kept = PACKED.loaded({"weight": stack})
    assert sorted(kept) == ["weight.0", "weight.1", "weight.2"]
    found = PACKED.experts(kept, x, ends)
    plain = torch.cat([F.linear(x[:2], stack[0]), F.linear(x[2:], stack[2])])
    allowed = TOLERANCE[dtype]
    torch.testing.assert_close(found, plain, rtol=2 * allowed, atol=4 * allowed)
