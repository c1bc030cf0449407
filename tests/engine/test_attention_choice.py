"""Which backend is chosen: the paged kernel only where it can do the work and is seen to do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.attention import choice
from engine.attention.backend import Heads
from engine.attention.paged import PagedSdpa
from engine.attention.varlen import PAGE, Varlen, supported
from engine.processes.distributed import ProcessGroup
from engine.processes.launch import launch
from engine.serving import runner, serve
from engine.serving.runner import Runner, Survey, recordable
from tests.engine.paged_kernel import NEEDS_PAGED, Kernel, as_documented, replaced
from tests.engine.passes import LAYER


def without_windows(*args: Any, **options: Any) -> Tensor:
    return as_documented(*args, **options | {"window_size": (-1, 0)})


def with_larger_pages(*_: Any, **__: Any) -> Tensor:
    raise RuntimeError("Paged KV cache block size must be divisible by 512")


@NEEDS_PAGED
@pytest.mark.parametrize(
    ("kernel", "fit"), [(as_documented, True), (without_windows, False), (with_larger_pages, False)]
)
def test_a_kernel_that_computes_wrongly_or_not_at_all_is_not_used(kernel: Kernel, fit: bool) -> None:
    with replaced(kernel):
        assert choice.works.__wrapped__(torch.device("cpu"), torch.float32) == fit


FIT = Heads(LAYER, 8, 2, 64, 0.125, window=100)
CUDA = torch.device("cuda")


@NEEDS_PAGED
@pytest.mark.parametrize(
    ("fits", "device", "dtype", "heads", "size"),
    [
        (True, CUDA, torch.bfloat16, FIT, PAGE),
        (True, CUDA, torch.float16, FIT, 2 * PAGE),
        (False, torch.device("cpu"), torch.bfloat16, FIT, PAGE),
        (False, CUDA, torch.float32, FIT, PAGE),
        (False, CUDA, torch.bfloat16, FIT, 16),
        (False, CUDA, torch.bfloat16, replace(FIT, dim=68), PAGE),
        (False, CUDA, torch.bfloat16, replace(FIT, dim=264), PAGE),
        (False, CUDA, torch.bfloat16, replace(FIT, slopes=(0.5,) * 8), PAGE),
        (False, CUDA, torch.bfloat16, replace(FIT, softcap=30.0), PAGE),
        (False, CUDA, torch.bfloat16, replace(FIT, sinks=torch.zeros(8)), PAGE),
    ],
)
def test_the_paged_kernel_is_chosen_only_for_what_it_can_do(
    fits: bool, device: torch.device, dtype: torch.dtype, heads: Heads, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(choice, "works", lambda *_: True)
    assert supported(device, dtype, heads, size) == fits
    assert choice.choose(device, dtype, [FIT, heads], size) is (Varlen if fits else PagedSdpa)
    assert choice.block_size(device, dtype, [heads]) == (PAGE if fits or size == 16 else 16)


def test_an_old_gpu_and_a_model_without_attention_get_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert choice.choose("cuda", torch.float16, [FIT], PAGE) is PagedSdpa
    assert choice.choose("cuda", torch.float16, [], PAGE) is PagedSdpa


# --- several ranks ---


def chosen_on(group: ProcessGroup) -> list[tuple[bool, int, int]]:
    """For `launch`: what one rank has where no rank, the first and the second cannot use the paged kernel."""
    return [_chosen(group, unable) for unable in (None, 0, 1)]


def _chosen(group: ProcessGroup, unable: int | None) -> tuple[bool, int, int]:
    """Whether that is its backend, tokens in a block, and blocks."""
    found = Survey()
    found.heads[LAYER] = FIT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "supported", lambda *_: True)
        patch.setattr(choice, "works", lambda *_: group.rank != unable)
        scheduler, cache = serve.make_cache(
            found, serve.Settings(cache_bytes=1 << 24), 4096, frozenset(), group, group.rank
        )  # fmt: skip
        made = Runner(NotImplemented, cache, group=group)
    return made._backend is Varlen, scheduler.pool.size, scheduler.pool.count


def test_ranks_that_cannot_do_the_same_do_what_all_of_them_can() -> None:
    first, second = launch(2, chosen_on)
    assert first == second
    assert [(paged, size) for paged, size, _ in first] == [(True, PAGE), (False, 16), (False, 16)]


class Pair:
    """Another rank, which says so."""

    size = 2

    def __init__(self, *said: int) -> None:
        self.said = torch.tensor(said)

    def all_reduce(self, x: Tensor) -> Tensor:
        return x

    def all_gather(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.said.to(x)])


def test_gpus_of_two_kinds_are_no_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    assert choice.one_kind("cpu")
    assert choice.one_kind("cpu", Pair(9, 0))
    assert not choice.one_kind("cpu", Pair(8, 0))


@pytest.mark.parametrize(
    ("device", "by_length", "backend", "alike", "expected"),
    [
        ("cuda", False, Varlen, True, True), ("cpu", False, Varlen, True, False), ("cuda", True, Varlen, True, False),
        ("cuda", False, PagedSdpa, True, False), ("cuda", False, Varlen, False, False),
    ],
)  # fmt: skip
def test_passes_are_recorded_only_where_all_ranks_would_see_the_same(
    device: str, by_length: bool, backend: choice.Backend, alike: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Survey()
    found.by_length = by_length
    monkeypatch.setattr(runner, "choose", lambda *_: backend)
    monkeypatch.setattr(runner, "one_kind", lambda *_: alike)
    assert recordable(found, PAGE, device) == expected
