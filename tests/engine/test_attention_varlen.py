"""The paged kernel that PyTorch ships: called as it wants to be, and in agreement with the fallback."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from engine.attention import choice
from engine.attention.backend import Heads
from engine.attention.batch import make_pass
from engine.attention.varlen import PAGE, Varlen
from engine.cache.tensors import KVCache
from tests.engine.paged_kernel import NEEDS_PAGED, as_documented, replaced
from tests.engine.passes import LAYER, Case, Known, cases, exactly, layers, on_gpu, run


def plain(heads: Heads) -> Heads:
    """What PyTorch's paged kernel can do of it."""
    return replace(heads, slopes=(), softcap=None, sinks=None)


@NEEDS_PAGED
@given(cases(layers().map(plain)))
@settings(max_examples=50, deadline=None)
def test_the_paged_kernel_is_asked_for_the_same(case: Case) -> None:
    cache = case.cache()
    for pages in cache.pages(LAYER):
        pages.nan_to_num_()  # the double multiplies what is hidden by zero; the kernel does not
    with replaced(as_documented):
        found = Varlen(case.batch(), cache)(case.heads, case.now("q"), case.now("k"), case.now("v"))
    exactly(found, run(case))


@NEEDS_PAGED
def test_the_installed_paged_kernel_accepts_the_call() -> None:
    """On tensors without data, where PyTorch checks names and kinds of arguments and computes shapes."""
    heads = Heads(LAYER, 8, 2, 64, 0.125, window=100)
    batch = make_pass([(0, 300, [0, 1], 300), (9, 10, [2], 5)], PAGE, "meta")
    cache = KVCache([heads], 3, PAGE, torch.bfloat16, "meta")
    q, k, v = (torch.empty(301, count, 64, dtype=torch.bfloat16, device="meta") for count in (8, 2, 2))
    found = Varlen(batch, cache)(heads, q, k, v)
    assert (found.shape, found.dtype) == (q.shape, q.dtype)


def long_case(heads: Heads, dtype: torch.dtype, spans: list[tuple[int, int]]) -> Case:
    torch.manual_seed(0)
    blocks = torch.randperm(len(spans) * 4).tolist()
    known = []
    for start, stop in spans:
        table, blocks = blocks[:4], blocks[4:]
        q, k, v = (torch.randn(stop, n, heads.dim).to(dtype) for n in (heads.count, heads.kv_count, heads.kv_count))
        known.append(Known(table, start, stop, stop, q, k, v))
    return Case(heads, PAGE, len(spans) * 4, known)


@pytest.mark.gpu
@NEEDS_PAGED
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("window", [None, 1, 200])
@pytest.mark.parametrize("kv_count", [2, 8])
@pytest.mark.parametrize(
    "spans", [[(900, 901), (0, 1), (511, 512)], [(0, 700), (1, 300)], [(700, 1000), (40, 41), (256, 258)]]
)
def test_on_a_gpu_the_paged_kernel_agrees(
    dtype: torch.dtype, window: int | None, kv_count: int, spans: list[tuple[int, int]]
) -> None:
    heads = Heads(LAYER, 8, kv_count, 64, 0.125, window)
    assert choice.choose("cuda", dtype, [heads], PAGE) is Varlen
    case = long_case(heads, dtype, spans)
    torch.testing.assert_close(on_gpu(case, Varlen), run(case), rtol=0.02, atol=0.01)
