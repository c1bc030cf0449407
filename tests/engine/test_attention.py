"""Attention: every backend against the definition, over random passes; and what a pass says of itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import varlen as upstream

from engine.attention import attend, choice, decode
from engine.attention.backend import Attention, Heads
from engine.attention.batch import Pass, make_pass
from engine.attention.paged import PagedSdpa
from engine.attention.sdpa import WHOLE_SEQUENCE
from engine.attention.varlen import PAGE, Varlen, arguments, supported
from engine.cache.tensors import KVCache, bytes_per_block

exactly = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
LAYER = 3


def by_definition(heads: Heads, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Query by query, head by head, in float64: q (queries, heads, dim) are the last of keys (all, kv heads, dim)."""
    out = torch.zeros_like(q, dtype=torch.float64)
    for row in range(len(q)):
        position = len(keys) - len(q) + row
        seen = range(max(0, position + 1 - (heads.window or position + 1)), position + 1)
        for head in range(heads.count):
            mate = head * heads.kv_count // heads.count
            scores = torch.stack([q[row, head].double() @ keys[j, mate].double() * heads.scale for j in seen])
            if heads.softcap is not None:
                scores = heads.softcap * torch.tanh(scores / heads.softcap)
            if heads.slopes:
                scores = scores - heads.slopes[head] * torch.tensor([position - j for j in seen], dtype=torch.float64)
            shares = scores.exp()
            sink = heads.sinks[head].double().exp() if heads.sinks is not None else 0.0
            out[row, head] = (shares[:, None] * values[list(seen), mate].double()).sum(0) / (shares.sum() + sink)
    return out


@dataclass(frozen=True)
class Known:
    """One sequence: its block table, what is computed of it in a pass, and q, k, v of all its positions."""

    table: list[int]
    start: int
    stop: int
    prompt: int
    q: Tensor
    k: Tensor
    v: Tensor

    @property
    def part(self) -> tuple[int, int, list[int], int]:
        return self.start, self.stop, self.table, self.prompt


@dataclass(frozen=True)
class Case:
    heads: Heads
    size: int
    blocks: int
    sequences: list[Known]

    def cache(self) -> KVCache:
        """Earlier keys and values at their places, NaN at all others."""
        cache = KVCache([self.heads], self.blocks, self.size, self.sequences[0].q.dtype)
        for pages, name in zip(cache.pages(LAYER), "kv", strict=True):
            pages.fill_(float("nan"))
            for each in self.sequences:
                self.put(pages, each, getattr(each, name), range(each.start))
        return cache

    def put(self, pages: Tensor, sequence: Known, vectors: Tensor, positions: range) -> None:
        for position in positions:
            pages[sequence.table[position // self.size], position % self.size] = vectors[position]

    def batch(self) -> Pass:
        return make_pass([each.part for each in self.sequences], self.size)

    def now(self, name: str) -> Tensor:
        return torch.cat([getattr(each, name)[each.start : each.stop] for each in self.sequences])

    def expected(self) -> Tensor:
        return torch.cat([
            by_definition(self.heads, each.q[each.start : each.stop], each.k[: each.stop], each.v[: each.stop])
            for each in self.sequences
        ])  # fmt: skip


class Makes(Protocol):
    def __call__(self, batch: Pass, cache: KVCache) -> Attention: ...


def run(case: Case, backend: Makes = PagedSdpa) -> Tensor:
    return backend(case.batch(), case.cache())(case.heads, case.now("q"), case.now("k"), case.now("v"))


@st.composite
def layers(draw: st.DrawFn) -> Heads:
    kv_count, group, dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.sampled_from([8, 16]))
    count = kv_count * group
    numbers = st.lists(st.floats(-3, 3, width=32), min_size=count, max_size=count)
    return Heads(
        LAYER, count, kv_count, dim, draw(st.sampled_from([dim**-0.5, 0.7])),
        window=draw(st.none() | st.integers(1, 9)),
        slopes=tuple(abs(x) for x in draw(st.just([]) | numbers)),
        softcap=draw(st.none() | st.sampled_from([0.5, 20.0])),
        sinks=draw(st.none() | st.builds(torch.tensor, numbers)),
    )  # fmt: skip


def plain(heads: Heads) -> Heads:
    """What PyTorch's paged kernel can do of it."""
    return replace(heads, slopes=(), softcap=None, sinks=None)


ANY = layers()


@st.composite
def cases(draw: st.DrawFn, heads: st.SearchStrategy[Heads] = ANY, dtype: torch.dtype = torch.float64) -> Case:
    """Sequences anywhere in their prompts or behind them, on scattered blocks, with blocks to spare."""
    of, size = draw(heads), draw(st.integers(1, 5))
    spans = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6) | st.just(1)), min_size=1, max_size=4))
    needed = [-(-(start + more) // size) for start, more in spans]
    blocks = draw(st.permutations(range(sum(needed) + 2)))
    noise = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    sequences = []
    for (start, more), count in zip(spans, needed, strict=True):
        table, blocks = blocks[:count], blocks[count:]
        q, k, v = (
            torch.randn(start + more, n, of.dim, generator=noise, dtype=torch.float64).to(dtype)
            for n in (of.count, of.kv_count, of.kv_count)
        )
        prompt = draw(st.integers(1, start + more))
        sequences.append(Known(table, start, start + more, prompt, q, k, v))
    return Case(of, size, sum(needed) + 2, sequences)


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


@given(cases(), st.sampled_from([1, 30, 100, 300]))
@settings(max_examples=60, deadline=None)
def test_steps_too_many_for_one_call_are_divided(case: Case, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(decode.ROOM, "cpu", room)
        exactly(run(case), case.expected())


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


@given(cases(), st.lists(st.integers(1, 5), min_size=16, max_size=16))
@settings(max_examples=60, deadline=None)
def test_a_chunked_prompt_is_what_a_whole_one_is(case: Case, steps: list[int]) -> None:
    """And both backends agree on it."""
    each, cache, found = case.sequences[0], case.cache(), []
    start = 0
    while start < each.stop:
        stop = min(each.stop, start + steps.pop())
        batch = make_pass([(start, stop, each.table, each.stop)], case.size)
        found.append(PagedSdpa(batch, cache)(case.heads, *(x[start:stop] for x in (each.q, each.k, each.v))))
        start = stop
    exactly(torch.cat(found), WHOLE_SEQUENCE(case.heads, each.q, each.k, each.v))


def test_scores_that_are_spelled_out_are_made_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = Heads(LAYER, 4, 2, 8, 0.3, window=7, softcap=2.0, sinks=torch.randn(4))
    q, k, v = (torch.randn(20, count, 8, dtype=torch.float64) for count in (4, 2, 2))
    monkeypatch.setattr(attend, "ROOM", 3 * 4 * 20)
    exactly(WHOLE_SEQUENCE(heads, q, k, v), by_definition(heads, q, k, v))


def steps_of(heads: Heads, lengths: list[int], size: int = 4) -> Case:
    """A pass in which each sequence goes on by one token."""
    blocks = [-(-length // size) for length in lengths]
    q, k, v = (torch.randn(max(lengths), count, heads.dim) for count in (heads.count, heads.kv_count, heads.kv_count))
    tables = [list(range(sum(blocks[:i]), sum(blocks[: i + 1]))) for i in range(len(blocks))]
    known = [Known(table, n - 1, n, n, q[:n], k[:n], v[:n]) for table, n in zip(tables, lengths, strict=True)]
    return Case(heads, size, sum(blocks), known)


def test_long_sequences_do_not_widen_short_ones() -> None:
    """What is gathered is a little more than there is, and far less than sequences times the longest."""
    gathered = 0

    class Counted(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal gathered
            if func is torch.Tensor.index_select:
                gathered += len(args[2])
            return super().__torch_function__(func, types, args, kwargs or {})

    lengths = [3000] + 60 * [40]
    case = steps_of(Heads(LAYER, 1, 1, 8, 0.35), lengths, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(decode.ROOM, "cpu", 8 * 3000)
        cache = case.cache()
        attention = decode.Decode(case.batch().tables, lengths, case.size)
        attention(case.heads, case.now("q"), *(x.as_subclass(Counted) for x in cache.flat(LAYER)))
    assert gathered == 2 * sum(lengths)


@pytest.mark.parametrize(("lengths", "masked"), [([9], False), ([7, 7, 7], False), ([12, 3, 9, 1], True)])
def test_steps_of_many_sequences_are_one_call(
    lengths: list[int], masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it has a mask only where lengths differ: PyTorch is quicker without."""
    calls: list[bool] = []
    function = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Any, **options: Any) -> Tensor:
        calls.append(options["attn_mask"] is not None)
        return function(*args, **options)

    case = steps_of(Heads(LAYER, 6, 2, 8, 0.35), lengths)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    found = run(case)
    assert calls == [masked]
    torch.testing.assert_close(found.double(), case.expected(), rtol=1e-5, atol=1e-5)


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


@given(cases())
@settings(max_examples=100, deadline=None)
def test_a_pass_says_where_its_tokens_are(case: Case) -> None:
    batch, size = case.batch(), case.size
    starts, tables = batch.starts.tolist(), batch.tables.tolist()
    positions = [range(each.start, each.stop) for each in case.sequences]
    assert [stop - start for start, stop in pairwise(starts)] == [len(some) for some in positions]
    assert [row[: len(each.table)] for row, each in zip(tables, case.sequences, strict=True)] == [
        each.table for each in case.sequences
    ]
    assert batch.slots.tolist() == [
        each.table[p // size] * size + p % size
        for each, some in zip(case.sequences, positions, strict=True) for p in some
    ]  # fmt: skip
    assert batch.origins.tolist() == [
        each.prompt if p < each.prompt else p + 1
        for each, some in zip(case.sequences, positions, strict=True) for p in some
    ]  # fmt: skip
    ends = [each.stop for each in case.sequences]
    assert (batch.lengths.tolist(), batch.most_keys) == (ends, max(ends))
    assert batch.most_queries == max(map(len, positions))
    assert {batch.starts.dtype, batch.lengths.dtype, batch.tables.dtype} == {torch.int32}
    assert {batch.slots.dtype, batch.origins.dtype} == {torch.int64}


def test_lengths_are_those_of_the_pass_or_of_the_whole_sequence() -> None:
    batch, cache = make_pass([(0, 2, [0], 5), (4, 8, [1, 2], 6)], 4), KVCache([], 3, 4, torch.float32)
    for backend in (PagedSdpa(batch, cache), Varlen(batch, cache)):
        assert backend.lengths(torch.tensor([0, 1, 4, 5, 6, 7])).tolist() == [5, 5, 6, 6, 7, 8]
    assert WHOLE_SEQUENCE.lengths(torch.arange(3)).tolist() == [3, 3, 3]


def test_a_cache_takes_what_its_blocks_are_said_to_take() -> None:
    heads = [Heads(0, 4, 2, 8, 1.0), Heads(5, 4, 4, 16, 1.0)]
    cache = KVCache(heads, 7, 3, torch.bfloat16)
    shapes = [tensor.shape for layer in (0, 5) for tensor in cache.pages(layer)]
    assert shapes == [(7, 3, 2, 8), (7, 3, 2, 8), (7, 3, 4, 16), (7, 3, 4, 16)]
    taken = sum(tensor.nbytes for layer in (0, 5) for tensor in cache.pages(layer))
    assert taken == 7 * bytes_per_block(heads, 3, torch.bfloat16)


def test_a_model_without_attention_has_an_empty_cache() -> None:
    assert bytes_per_block([], 16, torch.float32) == 0
    assert KVCache([], 1000, 16, torch.float32).heads == ()


Kernel = Callable[..., Tensor]


def as_documented(
    q: Tensor, k: Tensor, v: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *, scale: float,
    window_size: tuple[int, int], enable_gqa: bool, seqused_k: Tensor, block_table: Tensor, num_splits: int | None,
) -> Tensor:  # fmt: skip
    """PyTorch's paged kernel by its documentation and by what its C++ insists on, its known fault included."""
    assert {x.dtype for x in (cu_seq_q, cu_seq_k, seqused_k, block_table)} == {torch.int32}
    assert block_table.stride(-1) == seqused_k.stride(0) == cu_seq_q.stride(0) == 1
    kv_count, group = k.shape[2], q.shape[1] // k.shape[2]
    assert enable_gqa or group == 1
    out = torch.full_like(q, float("nan"))
    for place, (start, stop) in enumerate(pairwise(cu_seq_q.tolist())):
        used = int(seqused_k[place])
        assert stop - start <= max_q and used <= max_k
        own, other = (x[block_table[place].long()].flatten(0, 1)[:used].repeat_interleave(group, 1) for x in (k, v))
        distance = torch.arange(used - (stop - start), used)[:, None] - torch.arange(used)
        left, right = window_size
        hidden = (distance < -right if right >= 0 else distance < -used) | (distance > left if left >= 0 else False)
        scores = torch.einsum("qhd,khd->hqk", q[start:stop], own) * scale
        out[start:stop] = torch.einsum("hqk,khd->qhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), other)
    queries_of_one_head = max_q == 1 and group > 1 and window_size == (-1, -1)
    if num_splits != 1 and not queries_of_one_head:  # pytorch issue 194167
        out[cu_seq_q[1] :] = float("nan")
    assert kv_count * group == q.shape[1]
    return out


@contextmanager
def replaced(kernel: Kernel) -> Iterator[None]:
    """Another in the place of PyTorch's kernel, called only as the installed one can be."""
    signature = inspect.signature(upstream.varlen_attn)

    def double(*args: Any, **options: Any) -> Tensor:
        signature.bind(*args, **options)
        return kernel(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, "varlen_attn", double)
        yield


NEEDS_PAGED = pytest.mark.skipif(
    "block_table" not in arguments(), reason="the installed PyTorch has no paged attention"
)


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


def on_gpu(case: Case, backend: Makes) -> Tensor:
    cache = case.cache()
    there = KVCache([case.heads], case.blocks, case.size, cache.dtype, "cuda")
    for pages, own in zip(there.pages(LAYER), cache.pages(LAYER), strict=True):
        pages.copy_(own)
    batch = make_pass([each.part for each in case.sequences], case.size, "cuda")
    return backend(batch, there)(case.heads, *(case.now(name).cuda() for name in "qkv")).cpu()


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


@pytest.mark.gpu
@given(cases(dtype=torch.float32))
@settings(max_examples=60, deadline=None)
def test_on_a_gpu_the_fallback_gives_what_the_definition_says(case: Case) -> None:
    torch.testing.assert_close(on_gpu(case, PagedSdpa).double(), case.expected(), rtol=1e-4, atol=1e-4)
