"""Attention over the pages of a cache against the definition, over random passes of any kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from engine.attention.backend import Heads
from engine.attention.paged import PagedSdpa
from tests.engine.passes import LAYER, Case, cases, exactly, on_gpu, run, steps_of


@given(cases())
@settings(max_examples=150, deadline=None)
def test_pages_give_what_the_definition_says(case: Case) -> None:
    exactly(run(case), case.expected())


@given(cases(dtype=torch.bfloat16) | cases(dtype=torch.float16) | cases(dtype=torch.float32))
@settings(max_examples=60, deadline=None)
def test_narrow_numbers_cost_only_their_rounding(case: Case) -> None:
    """Scores and sums are held in float32 whatever q, k and v are; ALiBi's penalty alone is not."""
    found, expected = run(case), case.expected()
    unit = torch.finfo(found.dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=8 * unit, atol=8 * unit)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_only_the_slots_of_the_pass_are_written(case: Case) -> None:
    cache, expected = case.cache(), case.cache()
    PagedSdpa(case.batch(), cache)(case.heads, case.now("q"), case.now("k"), case.now("v"))
    for found, pages, name in zip(cache.pages(LAYER), expected.pages(LAYER), "kv", strict=True):
        for each in case.sequences:
            case.put(pages, each, getattr(each, name), range(each.start, each.stop))
        torch.testing.assert_close(found, pages, rtol=0, atol=0, equal_nan=True)


@given(cases())
@settings(max_examples=60, deadline=None)
def test_a_sequence_in_a_batch_is_what_it_is_alone(case: Case) -> None:
    alone = [run(replace(case, sequences=[each])) for each in case.sequences]
    exactly(run(case), torch.cat(alone))


def test_keys_behind_every_window_are_not_even_fetched() -> None:
    """Of steps and of a chunk: NaN there would show, hidden or not."""
    case = steps_of(Heads(LAYER, 2, 1, 8, 0.35, window=3), [12, 5, 9, 14])
    case.sequences[3] = replace(case.sequences[3], start=10)
    cache = case.cache()
    for each in case.sequences:
        for pages in cache.pages(LAYER):
            case.put(pages, each, torch.full((each.stop, 1, 8), float("nan")), range(each.start - 2))
    found = PagedSdpa(case.batch(), cache)(case.heads, case.now("q"), case.now("k"), case.now("v"))
    torch.testing.assert_close(found.double(), case.expected(), rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@given(cases(dtype=torch.float32))
@settings(max_examples=60, deadline=None)
def test_on_a_gpu_the_fallback_gives_what_the_definition_says(case: Case) -> None:
    torch.testing.assert_close(on_gpu(case, PagedSdpa).double(), case.expected(), rtol=1e-4, atol=1e-4)
